"""Which member of the plan a frame is, by the exposure that the camera reports for it."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence

from livemef.capture.bracketing.plan import MIN_RATIO
from livemef.capture.frame import Exposure

_TOLERANCE_EV = 0.3
_GAP_SHARE = 0.3
"""How much of the way to the next exposure a report may stand off its own: under a half, so never both."""


def match_measured(measured: Exposure, plan: Sequence[Exposure]) -> int | None:
    """Index of the plan's exposure that a reported one stands for; None where it stands for none.

    Time and gain must both be near: a mixture of two members with the light of a third is neither.
    """
    index = min(range(len(plan)), key=lambda i: _distance_ev(measured, plan[i]))
    gap = min(_distance_ev(plan[index], other) for i, other in enumerate(plan) if i != index)
    return index if _distance_ev(measured, plan[index]) <= min(_TOLERANCE_EV, _GAP_SHARE * gap) else None


def _distance_ev(a: Exposure, b: Exposure) -> float:
    return max(abs(math.log2(a.exposure_us / b.exposure_us)), abs(math.log2(a.gain / b.gain)))


class DeliveredPlan:
    """What a camera that reports its exposures really gives for each member of the plan.

    Some cameras clip requests to limits they do not state: they can be seen as the largest and the smallest value
    ever reported. `exposures` is the plan within those limits, as long as its members stay apart.
    """

    def __init__(self, plan: Sequence[Exposure]) -> None:
        self._plan = tuple(plan)
        self._window = 8 * len(plan) + 8
        self._recent: deque[Exposure] = deque(maxlen=self._window)
        self.exposures = tuple(plan)

    @property
    def clipped(self) -> bool:
        """Is any member given otherwise than asked?"""
        return self.exposures != self._plan

    def observe(self, measured: Exposure) -> None:
        """Note what was reported for a frame that requests from this plan had reached."""
        self._recent.append(measured)
        if len(self._recent) < self._window // 2:
            return
        times = _clipped([e.exposure_us for e in self._plan], [e.exposure_us for e in self._recent])
        gains = _clipped([e.gain for e in self._plan], [e.gain for e in self._recent])
        exposures = tuple(map(Exposure, times, gains))
        if all(b.light >= MIN_RATIO * a.light for a, b in itertools.pairwise(exposures)):
            self.exposures = exposures


def _clipped(wanted: Sequence[float], reported: Sequence[float]) -> list[float]:
    """The wanted values within the limits that the reported ones show.

    A limit that is another wanted value is none: that one was seen because it was asked for. Reports that do not vary
    show a value that was held, not limits.
    """
    lowest, highest = min(reported), max(reported)
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
    """A reported exposure on the same kind of scale: stops."""
    return math.log2(exposure.light)
