"""How far the time of day can be trusted: whether the clock is synchronised, and whether it was set meanwhile.

The kernel's answer (adjtimex(2)) is whether a time service keeps the clock in step. Its jumps show against a clock that
nobody sets (CLOCK_BOOTTIME).
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

TIME_ERROR = 5
"""adjtimex's return value while the clock is not synchronised (linux/timex.h)."""
TIMEX_BYTES = 208
STEP_S = 1.0
"""A difference beyond this is a jump, not the slow correction of a clock in step."""


@dataclass(frozen=True)
class ClockState:
    """synchronised: None where the kernel does not say. stepped_s: how far the clock was set since the session began,
    below zero: backwards.
    """

    synchronised: bool | None
    stepped_s: float

    @property
    def warning(self) -> str:
        """What is wrong with the clock; "" if nothing is known to be."""
        if abs(self.stepped_s) > STEP_S:
            way = "backwards" if self.stepped_s < 0 else "forwards"
            return f"the clock was set {way} by {abs(self.stepped_s):.0f} s during the session"
        return "the clock is not synchronised: times may be wrong" if self.synchronised is False else ""


class ClockWatch:
    """Compares the time of day with a clock that only goes on."""

    def __init__(self) -> None:
        self._offset_s = _offset_s()

    def state(self) -> ClockState:
        """The clock as it is now."""
        stepped = _offset_s() - self._offset_s
        return ClockState(is_synchronised(), round(stepped, 1) if abs(stepped) > STEP_S else 0.0)


def _offset_s() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def is_synchronised() -> bool | None:
    """Whether a time service keeps the clock; None where the kernel does not say."""
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)  # struct timex; modes = 0: nothing is changed
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else answer != TIME_ERROR
