"""Which waiting bracket is fused next."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.backlog import MOST_WAITING, Backlog

PERIOD = 1000


class Chain:
    """A camera with a bracket each `period`, and a fusion that takes the times given, one bracket at a time."""

    def __init__(self, period: int = PERIOD) -> None:
        self._period = period
        self.backlog = Backlog[int]()
        self.dropped: list[int] = []
        self.fused: list[int] = []
        self._numbers = count()
        self._now = 0

    def fuse(self, turns: Iterator[int] | list[int]) -> None:
        for turn in turns:
            while (bracket := self._take()) is None:
                self._arrive()
            ends = self._now + turn
            while self._next_arrival() <= ends:
                self._arrive()
            self._now = ends
            self.backlog.done(self._now)
            self.fused.append(bracket)

    def _take(self) -> int | None:
        bracket, dropped = self.backlog.take(self._now)
        self.dropped += dropped
        return bracket

    def _next_arrival(self) -> int:
        return (self._arrived + 1) * self._period

    _arrived = 0

    def _arrive(self) -> None:
        self._now = max(self._now, self._next_arrival())
        self._arrived += 1
        self.dropped += self.backlog.add(next(self._numbers), self._next_arrival() - self._period)


def settled() -> Chain:
    chain = Chain()
    chain.fuse([900] * 20)
    chain.dropped.clear()
    return chain


def test_one_long_fusion_costs_no_bracket() -> None:
    chain = settled()
    chain.fuse([2900, *[900] * 30])
    assert chain.dropped == []
    assert chain.fused == list(range(len(chain.fused)))
    assert len(chain.backlog) == 0  # caught up


def test_a_fusion_too_long_for_the_queue_costs_the_oldest() -> None:
    chain = settled()  # fusion has a tenth of the time to spare: it would not soon have caught up with more
    last = chain.fused[-1]
    chain.fuse([5500])
    assert chain.dropped == [last + 2, last + 3, last + 4]
    chain.fuse([900])
    assert chain.fused[-1] == last + 5


@pytest.mark.parametrize("fps", [60, 120, 240])
def test_a_fusion_with_time_to_spare_catches_up_with_five(fps: int) -> None:
    period = 10**9 // fps
    chain = Chain(period)
    chain.fuse([7 * period // 10] * 20)
    chain.dropped.clear()
    chain.fuse([59 * period // 10, *[7 * period // 10] * 30])
    assert chain.dropped == []
    assert chain.fused == list(range(len(chain.fused)))
    assert len(chain.backlog) == 0  # caught up
    chain.fuse([75 * period // 10])
    assert len(chain.dropped) == 2


def test_no_bracket_waits_longer_than_a_tenth_of_a_second_for_others() -> None:
    period = 10**9 // 20
    chain = Chain(period)
    chain.fuse([period // 2] * 20)
    chain.dropped.clear()
    chain.fuse([59 * period // 10])
    assert len(chain.backlog) == 3  # that came 0, 50 and 100 ms ago
    assert len(chain.dropped) == 2


def test_a_fusion_slower_than_the_camera_takes_the_newest() -> None:
    chain = settled()
    chain.fuse([2500] * 20)
    before = chain.fused[-1]
    chain.fuse([2500] * 10)
    assert chain.fused[-1] - before >= 24  # 2.5 brackets arrive meanwhile
    bracket, _ = chain.backlog.take(0)
    assert len(chain.backlog) == 0
    assert bracket is None or bracket > chain.fused[-1]


def test_it_keeps_up_again_when_fusion_is_quick_again() -> None:
    chain = settled()
    chain.fuse([2500] * 30)
    chain.fuse([500] * 20)
    chain.dropped.clear()
    chain.fuse([2900, *[900] * 30])
    assert chain.dropped == []


def test_overlapping_brackets_count_once() -> None:
    """Two in flight on a GPU: each takes two periods, one is done each period."""
    backlog = Backlog[int]()
    for number in range(30):
        backlog.add(number, number * PERIOD)
        taken, dropped = backlog.take(number * PERIOD)
        assert (taken, dropped) == (number, [])
        if number >= 2:
            backlog.done(number * PERIOD)
    assert backlog.keeps_up


@given(st.lists(st.integers(1, 6 * PERIOD), max_size=200))
def test_each_bracket_is_fused_or_dropped_once_and_in_order(turns: list[int]) -> None:
    chain = Chain()
    chain.fuse(turns)
    waiting = []
    while len(chain.backlog):
        bracket, dropped = chain.backlog.take(0)
        waiting += [*dropped, bracket]
    assert len(waiting) <= MOST_WAITING
    assert chain.fused == sorted(chain.fused)
    assert sorted([*chain.fused, *chain.dropped, *waiting]) == list(range(chain._arrived))


@given(st.lists(st.integers(1, PERIOD), max_size=100))
def test_a_fusion_within_the_period_never_drops(turns: list[int]) -> None:
    chain = Chain()
    chain.fuse(turns)
    assert chain.dropped == []
