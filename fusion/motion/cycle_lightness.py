"""What moves is as light on the mean whichever exposure is the newest.

Where things move the picture shows the newest exposure alone, and what that one cannot say is estimated: what hides
behind clipping or in noise, what lies between edges finer than a grid's cells. Or one exposure replaces a region that
the other one keeps. Each of these errors has the period of the exposures, so that the picture pulses. Here the mean
lightness of each bracket is found in samples of its pixels, before all are made; what has the period is averaged over
time, and taken away where things move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import downscale
from livemef.fusion.motion.cycle_means import Planes
from livemef.fusion.motion.ghost_mask import Mask

Lightness = NDArray[np.floating[Any]]
MeanLightness = Callable[[Planes, Sequence[Any]], float]

RATE = 0.15
"""Part of a new measurement that is taken on, later; at first all count alike."""
MOST_SURPRISE = 1.0
"""L* by which a measurement counts at most: a flash is none of the cycle's."""
SETTLED, ONE_IN = 12, 3
"""Measurements of each exposure as the newest from which it is measured for two cycles in so many times two: it takes a
twentieth of a bracket's time.
"""
LEAST_PART, FULL_PART = 0.002, 0.05
"""Part of the picture that moves, from which anything is done, and from which the whole mean is kept."""
MOST = 3.0
"""L* that is added, or taken away, at most."""
FIRST_SCATTER, LEAST_SQUARE = 0.25, 1e-6
"""Squares of L*: the variance of a measurement before any is known, and what keeps a quotient finite."""
REACH = 4
"""Small pixels by which what is done fades out beside what moves."""


def apart(means: Sequence[float], exposures: int) -> float | None:
    """By how much the bracket in the middle of the last cycle differs from that cycle's mean; None before its end.

    means: of brackets one after the other. Of an even number of exposures the first and last of one more count half:
    then a slow change of the scene's light is no part of it.
    """
    reach = exposures // 2
    if len(means) < 2 * reach + 1:
        return None
    cycle = np.array(means[-2 * reach - 1 :], np.float64)
    if exposures % 2 == 0:
        cycle[[0, -1]] /= 2
    middle = means[-1 - reach]
    return float(middle - cycle.sum() / exposures)


@dataclass(frozen=True)
class Known:
    """How far brackets with one exposure as the newest are from their cycle's mean, in L*, of so many measurements.

    scatter: the variance of one measurement. What comes into view and goes scatters, and proves nothing.
    """

    count: int = 0
    mean: float = 0.0
    scatter: float = FIRST_SCATTER

    @property
    def sure(self) -> float:
        """As much of the mean as is more than scatter, by Wiener's filter."""
        rate = max(RATE, 1 / max(self.count, 1))
        square = self.mean * self.mean
        return self.mean * square / (square + self.scatter * rate / (2 - rate) + LEAST_SQUARE)

    def followed(self, found: float) -> Known:
        """With another measurement."""
        rate, surprise = max(RATE, 1 / (self.count + 1)), min(max(found - self.mean, -MOST_SURPRISE), MOST_SURPRISE)
        scatter = self.scatter + max(RATE, 1 / (self.count + 2)) * ((1 - rate) * surprise * surprise - self.scatter)
        return Known(self.count + 1, self.mean + rate * surprise, scatter)


@dataclass
class CycleLightness:
    """Of one stream.

    sampled: the guide lightness (L*) of the present bracket's pixels as of one moment, by exposure, a sample of each
    small pixel (h x w); None: not needed.
    """

    sampled: Sequence[Lightness] | None = None
    _newest: int = 0
    _exposures: int = 0
    _brackets: int = 0
    _moves: bool = False
    _parts: dict[int, Mask] = field(default_factory=dict)
    _seen: list[tuple[int, float]] = field(default_factory=list)
    _known: dict[int, Known] = field(default_factory=dict)

    def begin(self, newest: int, exposures: int, mask: Mask, shape: tuple[int, int]) -> bool:
        """Begin a bracket. mask: of what moves, cells; shape: of the small pictures. Whether samples are needed."""
        self.sampled, self._newest, self._exposures = None, newest, exposures
        self._parts[newest], self._brackets = downscale.mean_cells(mask, *shape), self._brackets + 1
        self._moves = max(float(cv2.mean(part)[0]) for part in self._parts.values()) >= LEAST_PART
        needed = self._moves and (not self._settled or self._brackets // (2 * exposures) % ONE_IN == 0)
        if not needed:
            self._seen.clear()
        return needed

    @property
    def _settled(self) -> bool:
        return len(self._known) == self._exposures and min(one.count for one in self._known.values()) >= SETTLED

    def level(self, affine: Planes, mean_lightness: MeanLightness, gain: float = 1.0) -> None:
        """Learn from the coefficients (h x w x N + 1) of this bracket's lightness, and level them.

        mean_lightness: see cycle_means.mean_lightness. gain: on all coefficients, still to come.
        """
        if self.sampled is not None:
            self._learn(mean_lightness(affine * gain, self.sampled))
            self.sampled = None
        more = -self._known.get(self._newest, Known()).sure
        if more and self._moves:
            part = cv2.blur(reduce(np.maximum, self._parts.values()), (2 * REACH + 1,) * 2)
            more /= max(float(part.mean()), FULL_PART)
            affine[..., -1] += np.float32(min(max(more, -MOST), MOST) / gain) * part

    def _learn(self, mean: float) -> None:
        self._seen = [*self._seen[-self._exposures :], (self._newest, mean)]
        found = apart([seen for _, seen in self._seen], self._exposures)
        if found is None:
            return
        newest, _ = self._seen[-1 - self._exposures // 2]
        self._known[newest] = self._known.get(newest, Known()).followed(found)
        if len(self._known) == self._exposures:  # what all have is no part of the cycle
            of_all = sum(known.mean for known in self._known.values()) / self._exposures
            self._known = {one: replace(known, mean=known.mean - of_all) for one, known in self._known.items()}
