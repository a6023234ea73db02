"""Exposure plans, the exposures of a bracket: parsed from text, fitted to the camera's limits, and checked."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from livemef.capture.cameras.base import CameraLimits
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, darkest_first
from livemef.capture.uri import duration_us, number

MIN_RATIO = 1.3
"""Smallest ratio of light between two exposures by which their frames can be distinguished."""

LIVE_EXPOSURES = 4
"""Exposures that a running capture process has room for, whatever it started with; more need a new start."""

MOST_AUTOMATIC = 5
"""Most exposures that "auto:N" may allow."""

_ANY_GAIN = number(0.0, 1e6)


class PlanError(CaptureError):
    """An exposure plan that cannot be parsed, or that cannot work on this camera."""


def parse_plan(text: str, gain: float = 1.0) -> tuple[Exposure, ...]:
    """Parse a plan such as "1ms,8ms" or "500us, 16ms@2": exposure times with unit us, ms or s, each with @gain or not.

    gain: the analogue gain (linear) of the terms that name none. The result is sorted dark to bright. Raises
    PlanError.
    """
    exposures = []
    for term in text.split(","):
        time_text, at, gain_text = term.partition("@")
        try:
            exposures.append(Exposure(duration_us(time_text), _ANY_GAIN(gain_text) if at else gain))
        except ValueError:
            raise PlanError(
                f'exposure "{term.strip()}" in "{text}" is not an exposure time with a unit: {_likely_term(term)}'
            ) from None
    return darkest_first(exposures)


def automatic_exposures(text: str) -> int | None:
    """The most exposures that "auto" (two) or "auto:N" allows; None for a plan that names its exposures.

    Raises PlanError for an N outside 2..MOST_AUTOMATIC.
    """
    word, colon, most = text.strip().lower().partition(":")
    if word.strip() != "auto":
        return None
    if not colon:
        return 2
    if re.fullmatch(r"\s*\d\s*", most) is None or not 2 <= int(most) <= MOST_AUTOMATIC:
        raise PlanError(
            f'exposures "{text}": write auto:3 for up to three exposures; 2 to {MOST_AUTOMATIC} are possible'
        )
    return int(most)


def _likely_term(term: str) -> str:
    """What to write instead of a photographer's fraction of a second."""
    fraction = re.fullmatch(r"\s*1\s*/\s*(\d{1,6})\s*s?\s*", term)
    if fraction is None or int(fraction[1]) == 0:
        return "write for instance 500us, 8ms or 8ms@2"
    time_us = 1e6 / int(fraction[1])
    return f"write {time_us / 1e3:.4g}ms" if time_us >= 1000 else f"write {time_us:.4g}us"


def quantise(exposure: Exposure, limits: CameraLimits) -> Exposure:
    """The nearest exposure that the camera accepts: within its limits, in whole steps of the exposure time."""
    time_us = min(max(exposure.exposure_us, limits.exposure_min_us), limits.exposure_max_us)
    step = limits.exposure_step_us
    if step > 0:
        steps = round(time_us / step)
        lowest = math.ceil(limits.exposure_min_us / step - 1e-9)
        highest = math.floor(limits.exposure_max_us / step + 1e-9)
        time_us = min(max(steps, lowest), highest) * step
    return Exposure(time_us, min(max(exposure.gain, limits.gain_min), limits.gain_max))


def refuse_outside(exposures: Sequence[Exposure], limits: CameraLimits) -> None:
    """Raise PlanError for an exposure outside the camera's limits, which quantising would change without notice.

    A gain of 1 means the camera's lowest, which with some sensors is a little more.
    """
    for exposure in exposures:
        near = quantise(exposure, limits)
        if not _close(near.exposure_us, exposure.exposure_us, limits.exposure_step_us):
            low, high = (describe(Exposure(time)) for time in (limits.exposure_min_us, limits.exposure_max_us))
            raise PlanError(f"exposure {describe(exposure)} is outside what the camera can do: {low} to {high}")
        if exposure.gain != 1.0 and not _close(near.gain, exposure.gain):
            low, high = f"{limits.gain_min:g}", f"{limits.gain_max:g}"
            raise PlanError(f"gain {exposure.gain:g} is outside what the camera can do: {low} to {high}")


def _close(a: float, b: float, step: float = 0.0) -> bool:
    return abs(a - b) <= max(0.5 * step, 0.02 * b)


def fit_plan(
    exposures: Sequence[Exposure], limits: CameraLimits, frame_period_us: float, reports_exposure: bool
) -> tuple[Exposure, ...]:
    """The plan as this camera can do it, dark to bright.

    frame_period_us: time from one frame to the next; math.inf = unknown. reports_exposure: frames carry the
    exposure they were given; without it, no mixture of one member's time with another's gain may have the light of
    a member. Raises PlanError.
    """
    if len(exposures) < 2:
        raise PlanError(f"a bracket needs two exposures or more, not {len(exposures)}: give for instance 1ms,8ms")
    for exposure in exposures:
        _refuse_impossible(exposure)
    plan = darkest_first([quantise(exposure, limits) for exposure in exposures])
    for exposure in plan:
        if exposure.exposure_us > frame_period_us:
            raise PlanError(
                f"exposure {describe(exposure)} is longer than the frame period of {frame_period_us / 1e3:g} ms: "
                "shorten it or lower the frame rate"
            )
    for darker, brighter in itertools.pairwise(plan):
        if brighter.light < MIN_RATIO * darker.light:
            raise PlanError(
                f"exposures {describe(darker)} and {describe(brighter)} (as the camera can do them) "
                f"differ by less than {MIN_RATIO:g} times: move them apart"
            )
    if not reports_exposure:
        _refuse_confusable(plan)
    return plan


def mixtures(plan: Sequence[Exposure]) -> list[Exposure]:
    """Exposures outside the plan that a sensor may pass through: one member's time with another's gain."""
    mixed = itertools.product({e.exposure_us for e in plan}, {e.gain for e in plan})
    return [e for e in (Exposure(time_us, gain) for time_us, gain in mixed) if e not in plan]


def describe(exposure: Exposure) -> str:
    """An exposure as text: "8 ms", "500 us at gain 2"."""
    time_us = exposure.exposure_us
    text = f"{time_us:g} us" if time_us < 1000 else f"{time_us / 1e3:g} ms"
    return text if exposure.gain == 1.0 else f"{text} at gain {exposure.gain:g}"


def _refuse_impossible(exposure: Exposure) -> None:
    values = (exposure.exposure_us, exposure.gain)
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise PlanError(f"exposure {describe(exposure)} is not possible: time and gain must be above zero")


def _refuse_confusable(plan: Sequence[Exposure]) -> None:
    for mixed, member in itertools.product(mixtures(plan), plan):
        if max(mixed.light, member.light) < MIN_RATIO * min(mixed.light, member.light):
            raise PlanError(
                f"{describe(member)} passes for {describe(mixed)}, a mixture within the plan, "
                "on a camera that does not report its exposure: use one gain for all exposures"
            )
