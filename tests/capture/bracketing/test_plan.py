"""Exposure plans: parsed, fitted to a camera, refused."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.bracketing.plan import (
    PlanError,
    describe,
    fit_plan,
    mixtures,
    parse_plan,
    quantise,
    refuse_outside,
)
from livemef.capture.cameras.base import CameraLimits
from livemef.capture.frame import Exposure

LIMITS = CameraLimits(100.0, 33_000.0, 100.0, 1.0, 8.0)


@pytest.mark.parametrize(
    ("text", "gain", "plan"),
    [
        ("1ms,8ms", 1.0, (Exposure(1000.0), Exposure(8000.0))),
        ("8ms, 500us", 2.0, (Exposure(500.0, 2.0), Exposure(8000.0, 2.0))),
        (" 0.01s ,250 µs@4", 1.0, (Exposure(250.0, 4.0), Exposure(10_000.0))),
        ("1ms,4ms,16ms @ 1.5", 1.0, (Exposure(1000.0), Exposure(4000.0), Exposure(16_000.0, 1.5))),
    ],
)
def test_parse(text: str, gain: float, plan: tuple[Exposure, ...]) -> None:
    assert parse_plan(text, gain) == plan


@pytest.mark.parametrize("text", ["", "1ms,", "8", "1ms;8ms", "ms", "1.2.3ms", "-1ms", "1ms@", "1h", "1ms@x"])
def test_parse_names_the_term_that_is_wrong(text: str) -> None:
    with pytest.raises(PlanError, match="write for instance"):
        parse_plan(text)


@settings(deadline=None)
@given(
    st.floats(1.0, 1e6),
    st.floats(0.1, 100.0),
    st.sampled_from([0.0, 1.0, 29.7, 100.0]),
)
def test_quantised_exposure_is_one_the_camera_has(time_us: float, gain: float, step: float) -> None:
    limits = CameraLimits(95.0, 33_333.0, step, 1.0, 8.0)
    exposure = quantise(Exposure(time_us, gain), limits)
    assert 95.0 <= exposure.exposure_us <= 33_333.0
    assert 1.0 <= exposure.gain <= 8.0
    if step:
        steps = exposure.exposure_us / step
        assert math.isclose(steps, round(steps), abs_tol=1e-6)
    if 95.0 + step <= time_us <= 33_333.0 - step:
        assert abs(exposure.exposure_us - time_us) <= step / 2 + 1e-6
    assert quantise(exposure, limits) == exposure


@settings(deadline=None)
@given(st.lists(st.builds(Exposure, st.floats(1.0, 1e6), st.floats(0.5, 20.0)), max_size=5), st.booleans())
def test_fitted_plan_can_be_labelled_or_is_refused(exposures: list[Exposure], reports: bool) -> None:
    try:
        plan = fit_plan(exposures, LIMITS, 33_333.0, reports)
    except PlanError:
        return
    assert len(plan) == len(exposures) >= 2
    assert all(b.light >= 1.3 * a.light for a, b in itertools.pairwise(plan))
    assert fit_plan(plan, LIMITS, 33_333.0, reports) == plan


@pytest.mark.parametrize(
    ("exposures", "period_us", "reports", "complaint"),
    [
        ([], math.inf, True, "two exposures or more, not 0"),
        ([Exposure(1000.0)], math.inf, True, "two exposures or more, not 1"),
        ([Exposure(1000.0), Exposure(1250.0)], math.inf, True, "differ by less than 1.3 times"),
        ([Exposure(10.0), Exposure(50.0)], math.inf, True, "100 us and 100 us .as the camera can do them. differ"),
        ([Exposure(1000.0), Exposure(20_000.0)], 16_667.0, True, "20 ms is longer than the frame period of 16.667 ms"),
        ([Exposure(1000.0), Exposure(0.0)], math.inf, True, "not possible"),
        ([Exposure(1000.0), Exposure(math.nan)], math.inf, True, "not possible"),
        ([Exposure(1000.0), Exposure(1000.0, -2.0)], math.inf, True, "not possible"),
        ([Exposure(1000.0), Exposure(2000.0), Exposure(2000.0, 2.0)], math.inf, False, "passes for"),
    ],
)
def test_refusals(exposures: list[Exposure], period_us: float, reports: bool, complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        fit_plan(exposures, LIMITS, period_us, reports)


def test_mixtures_are_the_other_combinations() -> None:
    assert mixtures([Exposure(1000.0), Exposure(8000.0)]) == []
    assert set(mixtures([Exposure(1000.0, 1.0), Exposure(8000.0, 4.0)])) == {
        Exposure(1000.0, 4.0),
        Exposure(8000.0, 1.0),
    }


def test_describe() -> None:
    assert [describe(e) for e in (Exposure(500.0), Exposure(8000.0), Exposure(12_500.0, 2.0))] == [
        "500 us",
        "8 ms",
        "12.5 ms at gain 2",
    ]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("1ms,100s", "exposure 100000 ms is outside what the camera can do: 100 us to 33 ms"),
        ("10us,8ms", "exposure 10 us is outside"),
        ("1ms,8ms@40", "gain 40 is outside what the camera can do: 1.12 to 16"),
    ],
)
def test_what_lies_outside_the_range_is_refused(plan: str, words: str) -> None:
    limits = CameraLimits(100.0, 33000.0, 100.0, 1.12, 16.0)
    with pytest.raises(PlanError, match=re.escape(words)):
        refuse_outside(parse_plan(plan), limits)


def test_what_the_camera_only_rounds_is_not_refused() -> None:
    refuse_outside(parse_plan("1.04ms,33.05ms,60us"), CameraLimits(100.0, 33000.0, 100.0, 1.12, 16.0))
