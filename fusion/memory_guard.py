"""Ends a process whose memory grows without a reason of its own, before the machine runs out of it.

A peer can have ZeroMQ keep what it sends: a message of endless parts is held until its last part, and each subscription
is remembered. ZeroMQ has no limit on either, so the process is watched; what ends it is started anew, with nothing of
the peer's left. Who must not reach the port at all is a matter of keys.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from livemef.fusion.errors import FusionError

SETTLING_S = 30.0
"""A process takes what memory it needs within so long of its first picture."""

CHECK_PERIOD_S = 0.1
MOST_GROWTH = 1 << 30


@dataclass
class MemoryGuard:
    """Decides from numbers that are given to it. Memory in bytes, times in seconds.

    growth: what may be added after SETTLING_S. ceiling: what may be had before. None of it counts the send buffers.
    """

    growth: int
    ceiling: int
    _began_s: float | None = None
    _settled: int = 0
    _checked_s: float = float("-inf")

    def due(self, now_s: float) -> bool:
        """Whether it is time for the next `check`."""
        return now_s - self._checked_s >= CHECK_PERIOD_S

    def check(self, now_s: float, private: int, buffers: int) -> None:
        """private: memory of this process alone. buffers: the part of it that are send buffers, which have a limit.

        Raises FusionError where it has grown too far.
        """
        self._checked_s = now_s
        if self._began_s is None:
            self._began_s = now_s
        own = private - buffers
        if now_s - self._began_s < SETTLING_S:
            self._settled = max(self._settled, own)
        limit = self.ceiling if now_s - self._began_s < SETTLING_S else min(self.ceiling, self._settled + self.growth)
        if own > limit:
            raise FusionError(
                f"memory grew to {own >> 20} MiB, {limit >> 20} MiB are enough for these pictures: "
                "a subscriber may be flooding it; let only those in that you know"
            )


def guard_of_this_machine() -> MemoryGuard:
    """Half of the machine at most, and an eighth of it or 1 GiB of growth."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return MemoryGuard(min(MOST_GROWTH, total // 8), total // 2)


def private_memory() -> int:
    """Bytes in memory that this process shares with nobody (the ring is shared): proc(5), /proc/self/statm.

    The file stays open: peers may open connections until this process can open no other file.
    """
    _, resident, shared = (int(pages) for pages in os.pread(_statm(os.getpid()), 200, 0).split()[:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


@lru_cache(maxsize=1)
def _statm(_: int) -> int:
    """A descriptor of it, which belongs to the process that opened it."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
