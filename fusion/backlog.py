"""Which of the brackets that wait is fused next: the oldest while fusion keeps up, else the newest. Pure.

A fusion that took long once is caught up with, and no bracket is lost. Where fusion is slower than the camera, a queue
would be full for ever and make every picture late: the newest bracket is taken, and the others are dropped.
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_WAITING = 2
"""Brackets that wait beside those under fusion. Each keeps one more slot of the ring from the camera."""

REMEMBERED = 16
"""Brackets by which it is judged whether fusion keeps up."""


class Backlog(Generic[T]):
    """The brackets that wait, at most `most` of them. Times in nanoseconds, of one clock.

    To be called in the order of events: `add` as a bracket arrives, `take` as one's turn begins, `done` as one is
    finished with.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self.most = most
        self._waiting: deque[T] = deque()
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)
        self._turns: deque[int] = deque(maxlen=REMEMBERED)
        self._added_ns: int | None = None
        self._busy_since_ns = 0
        """When the last turn began or the one before it ended, whichever was later."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def keeps_up(self) -> bool:
        """Whether a turn takes no longer than the next bracket's arrival (medians). False while nothing is known."""
        if not self._intervals or not self._turns:
            return False
        return statistics.median(self._turns) <= statistics.median(self._intervals)

    def add(self, bracket: T, now_ns: int) -> list[T]:
        """Add one that has arrived. Returns those that give way to it, oldest first."""
        if self._added_ns is not None:
            self._intervals.append(now_ns - self._added_ns)
        self._added_ns = now_ns
        self._waiting.append(bracket)
        return self._drop_all_but(self.most)

    def take(self, now_ns: int) -> tuple[T | None, list[T]]:
        """The bracket whose turn it is, None where none waits; and those that are dropped for it, oldest first."""
        if not self._waiting:
            return None, []
        dropped = [] if len(self._waiting) == 1 or self.keeps_up else self._drop_all_but(1)
        self._busy_since_ns = max(self._busy_since_ns, now_ns)
        return self._waiting.popleft(), dropped

    def done(self, now_ns: int) -> None:
        """A bracket that was taken is finished with."""
        self._turns.append(now_ns - self._busy_since_ns)
        self._busy_since_ns = now_ns

    def _drop_all_but(self, count: int) -> list[T]:
        return [self._waiting.popleft() for _ in range(len(self._waiting) - count)]
