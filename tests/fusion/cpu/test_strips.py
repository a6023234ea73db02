import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.cpu import strips


@given(st.integers(1, 9000), st.integers(1, 70))
def test_strips_cover_every_row_once(rows, threads):
    found = strips.falling(rows, threads)
    np.testing.assert_array_equal(np.concatenate([np.arange(*strip) for strip in found]), np.arange(rows))
    assert min(bottom - top for top, bottom in found) > 0


@given(st.integers(1, 9000), st.integers(2, 70))
def test_the_last_strips_are_small_and_the_first_leave_something_for_all(rows, threads):
    sizes = [bottom - top for top, bottom in strips.falling(rows, threads)]
    assert sizes == sorted(sizes, reverse=True)
    least = max(strips.LEAST_ROWS, rows // (strips.PARTS * threads))
    assert sizes[0] <= max(least, 2 * rows // (3 * threads))
    assert sizes[-1] <= least
    assert len(sizes) <= (2 * strips.PARTS) * threads


def test_one_thread_takes_all_rows_at_once():
    assert strips.falling(1080, 1) == [(0, 1080)]
