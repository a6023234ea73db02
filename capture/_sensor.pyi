from typing import Any

from numpy.typing import NDArray

def weighted_sum(out: NDArray[Any], parts: list[tuple[NDArray[Any], float]]) -> None: ...
def raw_values(
    raw: NDArray[Any],
    electrons: NDArray[Any],
    response: NDArray[Any],
    shot: NDArray[Any],
    read: NDArray[Any],
    levels: tuple[float, float, float, float],
) -> None: ...
