"""Timing of frames from sources without a clock of their own: simulations and replays."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from livemef.capture.errors import CameraStalled

BUFFERS = 4
"""Finished frames kept for a late reader, as in a driver's queue; older ones are lost."""

PACES = ("realtime", "fast", "stepped")
REPLAY_PACES = {"recorded": "realtime", **{pace: pace for pace in PACES}}
"""By the words that may name them where frames have times of their own."""

RENDERINGS = 16
"""How many renderings the time of the next one is judged by."""
SPARE_NS = 2_000_000


@dataclass
class RenderLead:
    """How long before a frame is due its rendering has to begin."""

    _taken_ns: deque[int] = field(default_factory=lambda: deque(maxlen=RENDERINGS))

    def note(self, taken_ns: int) -> None:
        """A rendering has taken so long, nanoseconds."""
        self._taken_ns.append(taken_ns)

    @property
    def ns(self) -> int:
        """A quarter longer than renderings of late took (median), and SPARE_NS; nanoseconds. As long as anybody waits,
        while there was none.

        Not the longest: one that was slow because it met a fusion would let the next ones begin earlier, and meet it.
        """
        if not self._taken_ns:
            return 1 << 62
        return 5 * sorted(self._taken_ns)[len(self._taken_ns) // 2] // 4 + SPARE_NS


def wait_for(due_ns: int, timeout_s: float, what: str, since_ns: int | None = None) -> None:
    """Sleep until CLOCK_MONOTONIC reaches `due_ns`.

    Raises CameraStalled `timeout_s` after `since_ns` (None: after the call) if that is earlier.
    """
    now_ns = time.monotonic_ns()
    left_s = (due_ns - now_ns) / 1e9
    patience_s = timeout_s - (0 if since_ns is None else (now_ns - since_ns) / 1e9)
    if left_s > max(patience_s, 0.0):
        time.sleep(max(patience_s, 0.0))
        raise CameraStalled(f"{what}: no frame within {timeout_s:.3g} s")
    if left_s > 0:
        time.sleep(left_s)


def oldest_kept(number: int, now_ns: int, due_ns: Callable[[int], int]) -> int:
    """Number of the frame that a reader of frame `number` gets now: the same, or a later one if the reader is late.

    due_ns(n): when frame n is (or was) finished; rising with n. At most BUFFERS finished frames are kept.
    """
    while due_ns(number + BUFFERS) <= now_ns:
        number += 1
    return number
