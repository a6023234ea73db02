"""Which of the brackets that wait is fused next: the oldest while fusion keeps up, else the newest. Pure.

A fusion that took long once is caught up with, and no bracket is lost. Where fusion is slower than the camera, a queue
would be full for ever and make every picture late: the newest bracket is taken, and the others are dropped. How long
the queue may get depends on how soon fusion would have caught up with it.
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

FEW_WAITING = 2
"""Brackets that may wait beside those under fusion. Each keeps one more slot of the ring from the camera."""

MOST_WAITING = 5
"""The same where the oldest has not waited longer than LONGEST_WAIT_NS, and a turn takes SPARE of the time between two
brackets at most: after a turn that took so long, fusion has caught up within half a second at 60 frames/s.
"""

LONGEST_WAIT_NS = 100_000_000
SPARE = 0.85

REMEMBERED = 16
"""Brackets by which it is judged whether fusion keeps up."""


class Backlog(Generic[T]):
    """The brackets that wait: at most `most`, and FEW_WAITING but for short delays. Times in nanoseconds, of one
    clock.

    To be called in the order of events: `add` as a bracket arrives, `take` as one's turn begins, `done` as one is
    finished with.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self.most = most
        self._waiting: deque[T] = deque()
        self._since_ns: deque[int] = deque()
        """When each of them arrived."""
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
        return self._turns_fit(1.0)

    def _turns_fit(self, share: float) -> bool:
        if not self._intervals or not self._turns:
            return False
        return statistics.median(self._turns) <= share * statistics.median(self._intervals)

    def add(self, bracket: T, now_ns: int) -> list[T]:
        """Add one that has arrived. Returns those that give way to it, oldest first."""
        if self._added_ns is not None:
            self._intervals.append(now_ns - self._added_ns)
        self._added_ns = now_ns
        self._waiting.append(bracket)
        self._since_ns.append(now_ns)
        dropped = self._drop_all_but(self.most)
        while len(self._waiting) > FEW_WAITING and not self._soon_caught_up(now_ns):
            dropped += self._drop_all_but(len(self._waiting) - 1)
        return dropped

    def _soon_caught_up(self, now_ns: int) -> bool:
        return now_ns - self._since_ns[0] <= LONGEST_WAIT_NS and self._turns_fit(SPARE)

    def take(self, now_ns: int) -> tuple[T | None, list[T]]:
        """The bracket whose turn it is, None where none waits; and those that are dropped for it, oldest first."""
        if not self._waiting:
            return None, []
        dropped = [] if len(self._waiting) == 1 or self.keeps_up else self._drop_all_but(1)
        self._busy_since_ns = max(self._busy_since_ns, now_ns)
        self._since_ns.popleft()
        return self._waiting.popleft(), dropped

    def done(self, now_ns: int) -> None:
        """A bracket that was taken is finished with."""
        self._turns.append(now_ns - self._busy_since_ns)
        self._busy_since_ns = now_ns

    def _drop_all_but(self, count: int) -> list[T]:
        dropped = [self._waiting.popleft() for _ in range(len(self._waiting) - count)]
        for _ in dropped:
            self._since_ns.popleft()
        return dropped
