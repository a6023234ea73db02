"""The labellers and the delay probe, each alone, with regressions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.bracketing.delay_probe import HOLD, Probe
from livemef.capture.bracketing.labelling_brightness import BrightnessLabeller, brightness_level, learn_levels
from livemef.capture.bracketing.labelling_reported import DeliveredPlan, light_level, match_measured
from livemef.capture.bracketing.request_history import MAX_LEAD, Leads, RequestHistory
from livemef.capture.frame import Exposure

PAIR = (Exposure(1000.0), Exposure(8000.0))
TIME_AND_GAIN = (Exposure(1000.0, 1.0), Exposure(8000.0, 4.0))


@pytest.mark.parametrize(
    ("measured", "index"),
    [
        (Exposure(1000.0, 1.0), 0),
        (Exposure(1150.0, 1.0), 0),
        (Exposure(7600.0, 4.1), 1),
        (Exposure(8000.0, 1.0), None),
        (Exposure(1000.0, 4.0), None),
        (Exposure(2800.0, 2.0), None),
        (Exposure(16_000.0, 2.0), None),
    ],
)
def test_reported_exposure_must_be_near_in_time_and_gain(measured: Exposure, index: int | None) -> None:
    assert match_measured(measured, TIME_AND_GAIN) == index


def delivered(plan: tuple[Exposure, ...], reports: list[Exposure]) -> DeliveredPlan:
    result = DeliveredPlan(plan)
    for report in reports * 30:
        result.observe(report)
    return result


def test_clipped_member_becomes_what_is_delivered() -> None:
    clipped = delivered(PAIR, [Exposure(1000.0), Exposure(5000.0)])
    assert clipped.clipped
    assert clipped.exposures == (Exposure(1000.0), Exposure(5000.0))
    clipped = delivered(TIME_AND_GAIN, [Exposure(1400.0, 1.0), Exposure(8000.0, 2.0)])
    assert clipped.exposures == (Exposure(1400.0, 1.0), Exposure(8000.0, 2.0))


@pytest.mark.parametrize(
    "reports",
    [
        [Exposure(1000.0, 1.0), Exposure(8000.0, 4.0)],
        [Exposure(8000.0, 1.0), Exposure(1000.0, 4.0)],  # a wrong delay: mixtures, not clips
        [Exposure(5000.0, 4.0)],  # a held step
        [Exposure(1000.0, 1.0)],
    ],
)
def test_what_is_no_clip(reports: list[Exposure]) -> None:
    assert not delivered(TIME_AND_GAIN, reports).clipped


def test_limits_that_leave_one_exposure_are_not_taken() -> None:
    assert delivered(PAIR, [Exposure(3000.0), Exposure(3700.0)]).exposures == PAIR


def test_time_and_gain_take_effect_each_after_its_own_lead() -> None:
    history = RequestHistory()
    history.add(10, Exposure(100.0, 1.0))
    history.add(11, Exposure(200.0, 2.0))
    leads = Leads(4, 2)
    assert history.in_force(13, leads) is None
    assert history.in_force(14, leads) == Exposure(100.0, 2.0)
    assert history.in_force(99, leads) == Exposure(200.0, 2.0)


def probed(
    plan: tuple[Exposure, ...], leads: Leads, light: dict[int, float], lost: set[int] = frozenset()
) -> Leads | None:  # type: ignore[assignment]
    """Probe a perfect sensor of these leads; light: stops that the scene brightens by from a frame on."""
    probe, history, truth = Probe(plan, 50), RequestHistory(), RequestHistory()
    truth.add(0, Exposure(3000.0, 2.0))
    sequence = 50
    while True:
        if sequence not in lost:
            exposure = truth.in_force(sequence, leads)
            assert exposure is not None
            stops = sum(change for start, change in light.items() if start <= sequence)
            probe.observe(sequence, light_level(exposure) + stops)
            if probe.over(sequence):
                return probe.leads(history)
            request = probe.request(sequence)
            if request is not None:
                history.add(sequence, request)
                truth.add(sequence, request)
        sequence += 1


@settings(deadline=None, max_examples=50)
@given(st.integers(1, MAX_LEAD), st.integers(1, MAX_LEAD))
def test_probe_finds_every_lead(exposure: int, gain: int) -> None:
    assert probed(TIME_AND_GAIN, Leads(exposure, gain), {}) == Leads(exposure, gain)
    assert probed(PAIR, Leads(exposure, gain), {}) == Leads(exposure, MAX_LEAD)


@settings(deadline=None, max_examples=50)
@given(st.integers(50, 50 + 5 * HOLD), st.sampled_from([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]))
def test_probe_is_not_fooled_by_a_change_of_light(start: int, change: float) -> None:
    assert probed(TIME_AND_GAIN, Leads(3, 5), {start: change}) in (Leads(3, 5), None)


@settings(deadline=None)
@given(st.sets(st.integers(50, 50 + 2 * HOLD), max_size=12))
def test_probe_has_no_result_with_too_many_lost_frames(lost: set[int]) -> None:
    assert probed(PAIR, Leads(4, 2), {}, lost) in (Leads(4, MAX_LEAD), None)


def test_brightness_scale_rises_all_the_way() -> None:
    levels = [brightness_level(step / 255) for step in range(256)]
    assert levels == sorted(set(levels))
    assert levels[0] == pytest.approx(-levels[-1])


def test_levels_need_order_and_little_spread() -> None:
    assert learn_levels(PAIR, [(0, -2.0), (1, 0.0), (0, -2.1), (1, 0.1)]) is not None
    assert learn_levels(PAIR, [(1, -2.0), (0, 0.0), (1, -2.1), (0, 0.1)]) is None, "the wrong way round"
    assert learn_levels(PAIR, [(0, -2.0), (1, 0.0), (0, -0.5), (1, 0.1)]) is None, "too wide"
    assert learn_levels(PAIR, [(0, 0.0), (1, 0.1), (0, 0.0), (1, 0.1)]) is None, "too near"
    assert learn_levels(PAIR, [(0, -2.0), (1, 0.0), (1, 0.1)]) is None, "one dark frame is no proof"


def test_levels_of_darkness_cannot_confirm() -> None:
    levels = learn_levels(PAIR, [(0, -5.9), (1, -5.95), (0, -5.95), (1, -5.9)])
    assert levels is not None
    assert levels.confirmable == (False, False)


def test_mixture_that_passes_for_a_member_a_few_times_is_not_learnt() -> None:
    samples = [(0, -1.5), (1, 0.0), (0, -1.5), (1, 0.0)]
    assert learn_levels(PAIR, samples) is not None
    assert learn_levels(TIME_AND_GAIN, 3 * samples) is None
    assert learn_levels(TIME_AND_GAIN, 4 * samples) is not None


def test_a_few_ignored_requests_do_not_pass_for_saturation() -> None:
    labeller = BrightnessLabeller(PAIR)
    for i in range(6):
        labeller.confirm(i % 2, 2.0 + 2.4 * (i % 2))
    ignored = [labeller.confirm(i % 2, 4.4) for i in range(6)]
    assert [confirmation for confirmation in ignored[::2] if confirmation is not None] == []
    for i in range(20):
        saturated = labeller.confirm(i % 2, 4.4)
    assert saturated is not None
    assert not saturated.by_brightness


def test_labelling_resumes_only_after_a_whole_bracket_agrees() -> None:
    labeller = BrightnessLabeller(PAIR)
    steady = [labeller.confirm(i % 2, -2.0 + 2.0 * (i % 2)) is not None for i in range(6)]
    assert steady == [False, False, False, True, True, True]
    assert labeller.confirm(0, 0.0) is None, "a dark frame as bright as the other"
    assert labeller.confirm(1, 0.0) is None, "fits, but half a round is not enough"
    assert labeller.confirm(0, -2.0) is not None
    assert labeller.relearnt == 0
    jumped = [labeller.confirm((i + 1) % 2, -1.0 + 2.0 * ((i + 1) % 2)) is not None for i in range(5)]
    assert jumped == [False, False, False, True, True]
    assert labeller.relearnt == 1
