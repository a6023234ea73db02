"""Python's garbage collections, done while no bracket waits."""

from __future__ import annotations

import gc

SECOND, OLDEST = 25, 1000
"""After so many pauses the second generation is collected, too, and all that was made since the process is ready."""


def generation_of(pause: int) -> int:
    """The generation (0 = the youngest, 2 = all) that is collected in pause number `pause`, from 1 on."""
    return 2 if pause % OLDEST == 0 else 1 if pause % SECOND == 0 else 0


class Pauses:
    """Collects garbage between brackets, of which each makes a few hundred objects.

    Otherwise a collection falls into one bracket of three, and one of 1 ms into one of thirty. Where there is no pause,
    Python collects by itself as ever.
    """

    def __init__(self) -> None:
        self._count = 0

    def use(self) -> None:
        """To be called while there is nothing to do."""
        self._count += 1
        gc.collect(generation_of(self._count))
