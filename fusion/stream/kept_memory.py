"""Memory of received pictures that nobody holds any more, for the next ones."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

MOST_KEPT = 3
"""Pictures: one that the program works on, one that it still shows, the next."""


def _references_to_one_kept(kept: list[NDArray[np.uint8]]) -> int:
    for memory in kept:
        return sys.getrefcount(memory)
    return 0


_OWN_REFERENCES = _references_to_one_kept([np.empty(0, np.uint8)])
"""The list's, and what a loop and getrefcount's argument count for: Python 3.14 counts fewer than those before."""


class KeptMemory:
    """Gives memory out again once whoever has it, or a view of it, has let go of it (CPython counts references).

    Memory new from the system is cleared page by page as it is first written, which costs more than copying a picture.
    """

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []

    def room(self, size: int) -> NDArray[np.uint8]:
        """Uninitialised memory of so many bytes, which nobody else has."""
        for memory in self._kept:
            if memory.size == size and sys.getrefcount(memory) <= _OWN_REFERENCES:
                return memory
        fresh: NDArray[np.uint8] = np.empty(size, np.uint8)
        self._kept = [*self._kept[1 - MOST_KEPT :], fresh]
        return fresh

    def clear(self) -> None:
        """Let go of what is kept."""
        self._kept.clear()
