"""Which member of the plan a frame is, by the exposure that the camera reports for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from capture.frame import Exposure
from capture.plan import MIN_RATIO, mixtures

_TOLERANCE_EV = 0.3
_GAP_SHARE = 0.3
"""How much of the way to the next exposure a report may stand off its own: under a half, so never both."""
_CLIP_ROUNDS = 3


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

    Some cameras clip a request to limits they do not state. A value outside the plan that comes three times
    for the same member, and that stays apart from the other members, is taken as what this member is.
    """

    def __init__(self, plan: Sequence[Exposure]) -> None:
        self._plan = tuple(plan)
        self.exposures = tuple(plan)
        self._runs: dict[int, tuple[Exposure, int]] = {}

    @property
    def clipped(self) -> bool:
        """Is any member given otherwise than asked?"""
        return self.exposures != self._plan

    def observe(self, predicted: int, measured: Exposure) -> None:
        """Note what was reported where `predicted` was asked for and no member matched."""
        if self._is_mixture(measured):
            return
        value, count = self._runs.get(predicted, (measured, 0))
        same = _distance_ev(value, measured) < 0.02
        self._runs[predicted] = (measured, count + 1 if same else 1)
        if self._runs[predicted][1] >= _CLIP_ROUNDS:
            self._adopt(predicted, measured)

    def _is_mixture(self, measured: Exposure) -> bool:
        """Both parts were asked for, though not together: the delay is wrong, not the exposure."""
        alone = (_distance_ev(measured, mixed) for mixed in mixtures(self._plan))
        return any(distance < _TOLERANCE_EV for distance in alone)

    def _adopt(self, index: int, measured: Exposure) -> None:
        exposures = (*self.exposures[:index], measured, *self.exposures[index + 1 :])
        if all(b.light >= MIN_RATIO * a.light for a, b in itertools.pairwise(exposures)):
            self.exposures = exposures


def light_level(exposure: Exposure) -> float:
    """A reported exposure on the same kind of scale: stops."""
    return math.log2(exposure.light)
