"""Timing of frames from sources without a clock of their own: simulations and replays."""

from __future__ import annotations

import time
from collections.abc import Callable

from livemef.capture.errors import CameraStalled

BUFFERS = 4
"""Finished frames kept for a late reader, as in a driver's queue; older ones are lost."""

PACES = ("realtime", "fast", "stepped")


def wait_for(due_ns: int, timeout_s: float, what: str) -> None:
    """Sleep until CLOCK_MONOTONIC reaches `due_ns`. Raises CameraStalled after `timeout_s` if that is earlier."""
    left_s = (due_ns - time.monotonic_ns()) / 1e9
    if left_s > timeout_s:
        time.sleep(max(timeout_s, 0.0))
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
