"""Threads that must not slow down the live picture."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

NICENESS = 10


def lower_priority() -> None:
    """Give way, in this thread alone, to everything else (on Linux a thread has a priority of its own)."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
