"""The list of events: who was away gets what was missed, as long as it is kept."""

from livemef.tools.preview.event_log import KEPT, EventLog


def test_what_was_missed_comes_in_order() -> None:
    log = EventLog()
    begin = log.last_id
    log.add("settings", {"n": 1})
    middle = log.last_id
    log.add("plan", {"n": 2})
    assert [event.data["n"] for event in log.after(begin) or ()] == [1, 2]
    assert [event.data["n"] for event in log.after(middle) or ()] == [2]
    assert log.after(log.last_id) == []
    assert (log.after(""), log.after("other-1"), log.after(begin[:-1] + "99")) == (None, None, None)


def test_of_a_state_the_newest_is_kept_and_it_pushes_nothing_else_out() -> None:
    log = EventLog()
    log.add("settings", {"n": 0})
    begin = log.last_id
    log.add("still", {"n": 1})
    for number in range(3 * KEPT):
        log.add("session", {"n": number})
    missed = log.after(begin)
    assert missed is not None
    assert [(event.event, event.data["n"]) for event in missed] == [("still", 1), ("session", 3 * KEPT - 1)]
    assert [event.data["n"] for event in log.states()] == [3 * KEPT - 1]
    assert log.after(log.last_id) == []


def test_what_is_forgotten_is_not_passed_over_in_silence() -> None:
    log = EventLog()
    log.add("plan", {"n": 0})
    begin = log.last_id
    for number in range(KEPT):
        log.add("still", {"n": number})
    assert len(log.after(begin) or ()) == KEPT
    log.add("still", {"n": KEPT})
    assert log.after(begin) is None
