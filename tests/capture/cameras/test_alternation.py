import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.bracketing.labelling_brightness import brightness_level
from livemef.capture.cameras.alternation import AlternationPhase, order_of

LIGHT = {2: (0.1, 0.45), 3: (0.05, 0.2, 0.6), 4: (0.04, 0.12, 0.35, 0.7)}


def labelled(order: list[int] | None, frames: list[tuple[int, float]]) -> list[int]:
    """Labels of frames (true exposure, brightness). order: as stated; None = found."""
    levels = [brightness_level(light) for _, light in frames]
    found = (order, 0) if order else order_of(levels[:32], len({truth for truth, _ in frames}))
    assert found is not None
    phase = AlternationPhase(found[0], levels[:32], found[1])
    return [phase.index(number, light) for number, (_, light) in enumerate(frames)]


def shot(exposures: int, places: list[int], seed: int = 0) -> list[tuple[int, float]]:
    """Frames of these places of a cycle, in light that drifts and flickers a little."""
    chance = random.Random(seed)
    return [
        (
            place % exposures,
            min(LIGHT[exposures][place % exposures] * (1 + 0.003 * t) * chance.uniform(0.97, 1.03), 0.97),
        )
        for t, place in enumerate(places)
    ]


@settings(max_examples=60, deadline=None)
@given(exposures=st.sampled_from([2, 3, 4]), at=st.integers(0, 39), missing=st.booleans(), seed=st.integers(0, 9))
def test_a_missing_or_doubled_frame_anywhere_costs_no_label(exposures: int, at: int, missing: bool, seed: int) -> None:
    places = list(range(48))
    places[at : at + 1] = [] if missing else [at, at]
    frames = shot(exposures, places, seed)
    assert labelled(None, frames) == [truth for truth, _ in frames]


@pytest.mark.parametrize(("exposures", "at", "seed"), [(3, 18, 1), (4, 4, 5), (4, 20, 8)])
def test_frames_from_before_a_missing_one_do_not_speak_against_those_after_it(
    exposures: int, at: int, seed: int
) -> None:
    frames = shot(exposures, [place for place in range(48) if place != at], seed)
    assert labelled(None, frames) == [truth for truth, _ in frames]


def test_steady_footage_never_slips() -> None:
    frames = shot(3, list(range(300)))
    phase = AlternationPhase([0, 1, 2], [brightness_level(light) for _, light in frames[:12]])
    assert [phase.index(number, light) for number, (_, light) in enumerate(frames)] == [truth for truth, _ in frames]
    assert not phase.slips


@pytest.mark.parametrize("factor", [0.3, 0.5, 2.0])
def test_light_that_is_switched_costs_at_most_two_labels(factor: float) -> None:
    frames = [
        (truth, min(light * (factor if t >= 20 else 1.0), 0.98))
        for t, (truth, light) in enumerate(shot(2, list(range(60))))
    ]
    wrong = [t for t, label in enumerate(labelled([0, 1], frames)) if label != frames[t][0]]
    assert len(wrong) <= 2
    assert all(20 <= t < 23 for t in wrong)


@pytest.mark.parametrize("exposures", [2, 3, 4])
@pytest.mark.parametrize("factor", [0.02, 0.05, 0.08])
def test_lamps_that_go_off_and_on_again_cost_labels_of_two_cycles_at_most(exposures: int, factor: float) -> None:
    # A dark exposure of the lit scene can look as a bright one of the dark scene does.
    frames = [
        (truth, light * (factor if 14 <= t < 28 or t >= 43 else 1.0))
        for t, (truth, light) in enumerate(shot(exposures, list(range(60))))
    ]
    labels = labelled(list(range(exposures)), frames)
    wrong = [t for t, label in enumerate(labels) if label != frames[t][0]]
    assert all(any(0 <= t - switched < 2 * exposures for switched in (14, 28, 43)) for t in wrong)


def test_a_cycle_that_comes_back_is_followed_too() -> None:
    order = [0, 1, 2, 1]
    places = [*range(21), *range(22, 48)]
    frames = [(order[place % 4], LIGHT[3][order[place % 4]]) for place in places]
    labels = labelled(order, frames)
    assert labels[24:] == [truth for truth, _ in frames[24:]]


def test_a_stated_order_that_brightness_does_not_show_is_taken_as_it_is() -> None:
    alike = [(place % 2, 0.3) for place in range(20)]
    assert labelled([1, 0], alike) == 10 * [1, 0]
    against = shot(2, list(range(20)))
    assert labelled([1, 0], against) == 10 * [1, 0]


def test_frames_may_be_left_out_and_begun_again() -> None:
    frames = shot(2, [*range(15), *range(16, 40)])
    phase = AlternationPhase([0, 1], [brightness_level(light) for _, light in frames[:8]])
    for _ in range(2):
        for number in [0, 1, 2, 5, 6, 11, 18, 19, 30, 30, 33]:
            assert phase.index(number, frames[number][1]) == frames[number][0]
    assert phase.slips == {18}


@pytest.mark.parametrize("levels", [[1.0] * 8, [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0], [0.0]])
def test_what_does_not_alternate_has_no_order(levels: list[float]) -> None:
    assert order_of(levels, 2) is None


def test_the_order_begins_anywhere() -> None:
    assert order_of([2.0, 0.0, 1.0] * 4, 3) == ((2, 0, 1), 0)
    assert order_of([0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0], 2) == ((1, 0), 1)
