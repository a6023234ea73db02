"""The simulated sensor's compiled loops against their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.loops import CompiledLoops, Levels, NumpyLoops, best_loops

RANDOM = np.random.default_rng(1)
SHAPE = (24, 130)
LEVELS = Levels(full_well=10000.0, scale=0.4031, black=64, white=4095)


@pytest.fixture
def compiled() -> CompiledLoops:
    found = best_loops()
    if not isinstance(found, CompiledLoops):
        pytest.skip("the sensor's loops are not built")
    return found


def plane(low: float, high: float, shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    return RANDOM.uniform(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_weighted_sums(compiled: CompiledLoops, count: int) -> None:
    whole = plane(0, 3, (40, 200))
    parts = [(whole[i : i + SHAPE[0], 2 * i : 2 * i + SHAPE[1]], 0.3 + i) for i in range(count)]
    sums = [np.empty(SHAPE, np.float32) for _ in range(2)]
    for loops, out in zip((compiled, NumpyLoops()), sums, strict=True):
        loops.weighted_sum(out, parts)
    np.testing.assert_allclose(*sums, rtol=1e-6)


@pytest.mark.parametrize("brightest", [0.0, 40.0, 3000.0, 40000.0])
def test_raw_values(compiled: CompiledLoops, brightest: float) -> None:
    """From no light, where noise goes below black and below zero, to wells that overflow."""
    electrons, response = plane(-0.02 * brightest, brightest), plane(0.8, 1.1)
    shot, read = (RANDOM.standard_normal((60, 300), np.float32)[7:][: SHAPE[0], 9 : 9 + SHAPE[1]] for _ in range(2))
    read = read * np.float32(150)
    raws = [np.full(SHAPE, 7, np.uint16) for _ in range(2)]
    for loops, raw in zip((compiled, NumpyLoops()), raws, strict=True):
        loops.raw_values(raw, electrons.copy(), response, shot, read, LEVELS)
    apart = np.abs(raws[0].astype(int) - raws[1])
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.002
    assert raws[0].min() == 0 if brightest == 0 else raws[0].max() <= LEVELS.white


@pytest.mark.parametrize(
    "wrong",
    [
        {"electrons": np.zeros((24, 131), np.float32)},
        {"electrons": np.zeros(SHAPE, np.float64)},
        {"shot": np.zeros((24, 260), np.float32)[:, ::2]},
        {"raw": np.zeros(SHAPE, np.uint8)},
    ],
)
def test_planes_that_do_not_fit_are_refused(compiled: CompiledLoops, wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {name: np.zeros(SHAPE, np.float32) for name in ("electrons", "response", "shot", "read")}
    with pytest.raises(ValueError, match="planes must be of one shape"):
        compiled.raw_values(**({"raw": np.zeros(SHAPE, np.uint16), "levels": LEVELS} | given | wrong))


def test_memory_that_is_read_only_is_refused(compiled: CompiledLoops) -> None:
    out = plane(0, 1)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        compiled.weighted_sum(out, [(plane(0, 1), 1.0)])
    with pytest.raises(ValueError, match="1 to 128 parts"):
        compiled.weighted_sum(plane(0, 1), [])
