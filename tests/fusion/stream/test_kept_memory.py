"""Memory of pictures that is used again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from livemef.fusion.stream.kept_memory import MOST_KEPT, KeptMemory


def test_what_nobody_holds_is_given_out_again() -> None:
    memory = KeptMemory()
    first = memory.room(64)
    place = first.ctypes.data
    assert memory.room(64).ctypes.data != place
    del first
    assert memory.room(64).ctypes.data == place


def test_a_view_of_a_view_keeps_it() -> None:
    memory = KeptMemory()
    picture = np.frombuffer(memory.room(48).data, np.uint8).reshape(4, 4, 3)[1:, ::2].view()
    picture[:] = 7
    for _ in range(2 * MOST_KEPT):
        memory.room(48)[:] = 1
    assert (picture == 7).all()


def test_other_sizes_replace_the_oldest() -> None:
    memory = KeptMemory()
    for size in range(1, 20):
        assert memory.room(size).size == size
    assert len(memory._kept) == MOST_KEPT
    memory.clear()
    assert not memory._kept


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from([16, 32]))))
def test_what_is_held_is_never_given_out(steps: list[tuple[bool, int, int]]) -> None:
    memory = KeptMemory()
    held: list[tuple[int, NDArray[np.uint64]]] = []
    for number, (drop, which, size) in enumerate(steps):
        if drop and held:
            held.pop(which % len(held))
        else:
            picture = memory.room(size)[:8].view(np.uint64)
            picture[0] = number
            held.append((number, picture))
            del picture
        assert all(int(kept[0]) == written for written, kept in held)
