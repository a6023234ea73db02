"""Labels of frames by brightness: the predicted exposure of a frame is confirmed, or not.

Brightness alone is ambiguous, since the scene changes too. But if frames of all members of the plan, in steady light,
rise in brightness in the predicted order, the prediction is right: a permutation of the members that keeps their order
is the identity. So frames are labelled only while a whole bracket agrees with its prediction. After a frame that does
not agree, no frame is labelled until a whole bracket agrees again, or the levels have been learnt again in that way.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from livemef.capture.bracketing.labelling_reported import light_level
from livemef.capture.bracketing.plan import mixtures
from livemef.capture.frame import Exposure

_GAP_SHARE = 0.3
"""Largest deviation of a frame's level, as a share of the distance to the next possible level: below a half, so that
it is unique."""
_FLOOR = 1.0 / 64.0
"""Keeps the noise of a dark or a white picture (brightness uncertain to 0.0004) well below the smallest gap."""
_MIN_GAP = 0.15
_EXTREME = 3.9
"""Brightness level (about 5 % and 95 % of white) beyond which equal levels mean darkness or saturation, not a camera
that ignores requests."""
_EXTREME_TOLERANCE = 0.25
_SPREAD_SHARE = 0.25
_ADAPTATION = 0.5


def brightness_level(brightness: float) -> float:
    """Brightness (0..1, encoded) as log2 of the odds: on this scale a change of exposure has about the same effect on
    dark, medium and bright pictures."""
    return math.log2((brightness + _FLOOR) / (1.0 - brightness + _FLOOR))


def follows_light(groups: dict[Exposure, list[float]]) -> bool:
    """Whether levels, grouped by exposure, rise with the exposure, with little spread within each group.

    Needs two groups or more and two levels or more in each. If the light was steady this proves which group had which
    exposure: a permutation of the plan's members that keeps their order is the identity.
    """
    if len(groups) < 2 or any(len(levels) < 2 for levels in groups.values()):
        return False
    ordered = [groups[exposure] for exposure in sorted(groups, key=lambda e: e.light)]
    gaps = [_mean(b) - _mean(a) for a, b in itertools.pairwise(ordered)]
    spread = max(max(levels) - min(levels) for levels in ordered)
    return min(gaps) >= _MIN_GAP and spread <= _SPREAD_SHARE * min(gaps)


@dataclass(frozen=True)
class Levels:
    """The expected brightness level of each member of the plan in the present light, and the tolerance of each.

    confirmable[i]: brightness distinguishes this member from all others; false where darkness or saturation makes two
    of them equal.
    """

    plan: tuple[Exposure, ...]
    means: tuple[float, ...]
    tolerances: tuple[float, ...]
    confirmable: tuple[bool, ...]

    def matches(self, index: int, level: float) -> bool:
        """Whether a frame of this level can be the member `index`."""
        return abs(level - self.means[index]) <= self.tolerances[index]

    def confidence(self, index: int, level: float) -> float:
        """1 at the expected level, 0.5 at the edge of the tolerance."""
        return 1.0 - 0.5 * abs(level - self.means[index]) / self.tolerances[index]

    def adapted(self, index: int, level: float) -> Levels | None:
        """The levels after one more frame of the member `index`; None if they no longer distinguish exposures."""
        mean = self.means[index] + _ADAPTATION * (level - self.means[index])
        return _levels(self.plan, (*self.means[:index], mean, *self.means[index + 1 :]))


def proof_size(plan: Sequence[Exposure]) -> int:
    """Frames of each member that are needed to prove the prediction.

    Two; eight where time and gain both vary: there an ignored request gives a mixture of members, which keeps the order
    and looks like a member in other light. That happens by chance, and not eight times in a row.
    """
    return 8 if mixtures(plan) else 2


def learn_levels(plan: tuple[Exposure, ...], samples: Iterable[tuple[int, float]]) -> Levels | None:
    """Levels from (predicted index, level) of recent frames; None unless they prove the prediction.

    The same proof as `follows_light`, except that members which are equal in darkness or saturation are allowed, and
    marked as not confirmable.
    """
    groups: list[list[float]] = [[] for _ in plan]
    for index, level in samples:
        groups[index].append(level)
    if any(len(group) < proof_size(plan) for group in groups):
        return None
    levels = _levels(plan, tuple(_mean(group) for group in groups))
    if levels is None:
        return None
    tight = all(max(g) - min(g) <= tolerance for g, tolerance in zip(groups, levels.tolerances, strict=True))
    return levels if tight else None


def shortest_run(samples: Sequence[tuple[int, float]], members: int, each: int) -> Sequence[tuple[int, float]]:
    """The newest samples, as few as contain every index `each` times; all samples if they do not."""
    counts = [0] * members
    for start in range(len(samples) - 1, -1, -1):
        counts[samples[start][0]] += 1
        if min(counts) >= each:
            return samples[start:]
    return samples


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A frame agrees with its prediction. by_brightness: false where darkness or saturation makes members equal."""

    by_brightness: bool
    confidence: float


class BrightnessLabeller:
    """Confirms predicted labels by brightness, and learns the brightness of each member from the running
    bracket.

    unconfirmed: frames since the last confirmed one. most_unconfirmed: more are not needed to learn the levels, if the
    prediction is right. relearnt: how often levels were replaced because they were no longer right.
    """

    def __init__(self, plan: tuple[Exposure, ...]) -> None:
        self._plan = plan
        self._recent: deque[tuple[int, float]] = deque(maxlen=max(8, 2 * proof_size(plan)) * len(plan))
        self.most_unconfirmed = 2 * (proof_size(plan) + 1) * len(plan) + 8
        self._levels: Levels | None = None
        self._agreed: set[int] = set()
        self.unconfirmed = 0
        self.relearnt = 0

    def forget(self) -> None:
        """Delete all that was learnt: it is no longer right."""
        self._recent.clear()
        self._levels = None
        self._agreed.clear()
        self.unconfirmed = 0

    def _learn(self) -> Levels | None:
        """Levels from the fewest frames that prove them.

        Members that are equal in darkness or saturation prove nothing: a few ignored requests look the same. There all
        frames in memory must agree.
        """
        recent = tuple(self._recent)
        learnt = learn_levels(self._plan, shortest_run(recent, len(self._plan), proof_size(self._plan)))
        if learnt is None or all(learnt.confirmable):
            return learnt
        return learn_levels(self._plan, recent) if len(recent) == self._recent.maxlen else None

    def interrupt(self) -> None:
        """Call it for a frame that is of no member of the plan: levels are learnt only from frames after it."""
        self._recent.clear()

    def confirm(self, predicted: int, level: float) -> Confirmation | None:
        """Confirm that the frame of this level is the member `predicted`; None if that cannot be confirmed."""
        self._recent.append((predicted, level))
        if self._levels is not None and self._levels.matches(predicted, level):
            self._agreed.add(predicted)
        else:
            self._agreed.clear()
        if len(self._agreed) < len(self._plan):
            learnt = self._learn()
            if learnt is None:
                self.unconfirmed += 1
                return None
            self.relearnt += self._levels is not None
            self._levels = learnt
            self._agreed = set(range(len(self._plan)))
        assert self._levels is not None
        confirmation = Confirmation(self._levels.confirmable[predicted], self._levels.confidence(predicted, level))
        self._levels = self._levels.adapted(predicted, level)
        self.unconfirmed = 0
        return confirmation


def _levels(plan: tuple[Exposure, ...], means: tuple[float, ...]) -> Levels | None:
    confirmable = [True] * len(plan)
    for i, (low, high) in enumerate(itertools.pairwise(means)):
        if high - low < _MIN_GAP:
            if min(low, high) < _EXTREME and max(low, high) > -_EXTREME:
                return None
            confirmable[i] = confirmable[i + 1] = False
    tolerances = tuple(_tolerance(plan, means, i) if confirmable[i] else _EXTREME_TOLERANCE for i in range(len(plan)))
    return Levels(plan, means, tolerances, tuple(confirmable))


def _tolerance(plan: Sequence[Exposure], means: Sequence[float], index: int) -> float:
    """A share of the distance to the nearest other level that the sensor can give, mixtures included."""
    stops = [light_level(exposure) for exposure in plan]
    others = [mean for i, mean in enumerate(means) if i != index]
    others += [_interpolate(light_level(mixed), stops, means) for mixed in mixtures(plan)]
    return _GAP_SHARE * min(abs(other - means[index]) for other in others)


def _interpolate(stop: float, stops: Sequence[float], means: Sequence[float]) -> float:
    """Level at a light (stops) by piecewise linear interpolation over the plan, extrapolated beyond its ends."""
    right = min(max(sum(s <= stop for s in stops), 1), len(stops) - 1)
    slope = (means[right] - means[right - 1]) / (stops[right] - stops[right - 1])
    return means[right - 1] + slope * (stop - stops[right - 1])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
