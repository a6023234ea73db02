from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.cameras.pacing import RENDERINGS, SPARE_NS, RenderLead


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40))
def test_rendering_begins_earlier_than_half_of_the_last_took(taken: list[int]) -> None:
    lead = RenderLead()
    assert lead.ns > 10**18  # at once, while nothing is known
    for one in taken:
        lead.note(one)
    late = taken[-RENDERINGS:]
    assert 2 * sum(one < lead.ns for one in late) >= len(late)
    assert lead.ns <= 5 * max(late) // 4 + SPARE_NS


def test_one_slow_rendering_does_not_move_the_others() -> None:
    lead = RenderLead()
    for _ in range(RENDERINGS):
        lead.note(8_000_000)
    before = lead.ns
    lead.note(80_000_000)
    assert lead.ns == before
