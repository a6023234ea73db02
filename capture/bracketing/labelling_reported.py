"""Labels of frames by the exposure that the camera reports for each."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence

from livemef.capture.bracketing.plan import MIN_RATIO
from livemef.capture.frame import Exposure

_TOLERANCE_EV = 0.3
_GAP_SHARE = 0.3
"""Largest deviation of a reported exposure, as a share of the distance to the next one: below a half, so that it is
unique."""


def match_measured(measured: Exposure, plan: Sequence[Exposure]) -> int | None:
    """Index of the plan's exposure that a reported one agrees with; None if it agrees with none.

    Time and gain must both agree: a mixture of two members may have the light of a third.
    """
    index = min(range(len(plan)), key=lambda i: _distance_ev(measured, plan[i]))
    gap = min(_distance_ev(plan[index], other) for i, other in enumerate(plan) if i != index)
    return index if _distance_ev(measured, plan[index]) <= min(_TOLERANCE_EV, _GAP_SHARE * gap) else None


def _distance_ev(a: Exposure, b: Exposure) -> float:
    return max(abs(math.log2(a.exposure_us / b.exposure_us)), abs(math.log2(a.gain / b.gain)))


class DeliveredPlan:
    """The exposures that a camera really gives for the members of the plan, from its reports.

    Some cameras clip requests to limits that they do not state: these show as the largest and the smallest value ever
    reported. `exposures` is the plan within those limits, unless its members can no longer be distinguished.
    """

    def __init__(self, plan: Sequence[Exposure]) -> None:
        self._plan = tuple(plan)
        self._window = 8 * len(plan) + 8
        self._recent: deque[Exposure] = deque(maxlen=self._window)
        self._spans: tuple[tuple[float, float], ...] = ()
        """The smallest and the largest time and gain that `exposures` were found by."""
        self.exposures = tuple(plan)

    @property
    def clipped(self) -> bool:
        """Whether the camera gives any member otherwise than requested."""
        return self.exposures != self._plan

    def observe(self, measured: Exposure) -> None:
        """Add the exposure reported for a frame at which requests of this plan were in force."""
        self._recent.append(measured)
        if len(self._recent) < self._window // 2:
            return
        spans = _span([e.exposure_us for e in self._recent]), _span([e.gain for e in self._recent])
        if spans == self._spans:
            return
        self._spans = spans
        times = _clipped([e.exposure_us for e in self._plan], *spans[0])
        gains = _clipped([e.gain for e in self._plan], *spans[1])
        exposures = tuple(map(Exposure, times, gains))
        if all(b.light >= MIN_RATIO * a.light for a, b in itertools.pairwise(exposures)):
            self.exposures = exposures


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _clipped(wanted: Sequence[float], lowest: float, highest: float) -> list[float]:
    """The wanted values, clipped to the limits that the reported ones, from `lowest` to `highest`, show.

    A limit that equals a wanted value is none: it was reported because it was requested. Reports that do not vary
    show a constant value, not limits.
    """
    if _near(lowest, highest):
        return list(wanted)
    if any(_near(lowest, value) for value in wanted):
        lowest = 0.0
    if any(_near(highest, value) for value in wanted):
        highest = math.inf
    return [min(max(value, lowest), highest) for value in wanted]


def _near(a: float, b: float) -> bool:
    return abs(math.log2(a / b)) <= _TOLERANCE_EV


def light_level(exposure: Exposure) -> float:
    """Light of an exposure in stops: log2 of time (us) times gain."""
    return math.log2(exposure.light)
