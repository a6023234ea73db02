"""Garbage collections between brackets."""

from __future__ import annotations

import gc
import weakref

from livemef.fusion.pauses import OLDEST, SECOND, Pauses, generation_of


def test_each_generation_has_its_turn() -> None:
    turns = [generation_of(pause) for pause in range(1, OLDEST + 1)]
    assert turns[-1] == 2
    assert turns.count(2) == 1
    assert turns.count(1) == OLDEST // SECOND - 1


class Looped:
    def __init__(self) -> None:
        self.itself = self


def test_what_refers_to_itself_is_freed_in_a_pause() -> None:
    gc.disable()
    try:
        pauses = Pauses()
        gone = weakref.ref(Looped())
        assert gone() is not None
        pauses.use()
        assert gone() is None
        old = Looped()
        pauses.use()  # it is of the second generation now
        seen = weakref.ref(old)
        del old
        for _ in range(OLDEST):
            pauses.use()
        assert seen() is None
    finally:
        gc.enable()
