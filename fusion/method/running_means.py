"""What a stream of brackets shows of its camera and its scene, averaged over half a second: colour drift, white level.

Both change slowly. Measured from bracket to bracket they would flicker with noise, and with which exposure is newest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.floating[Any]]

BRACKETS = 15
"""Over so many brackets a stream is averaged: half a second at 30 brackets a second."""


@dataclass
class RunningMeans:
    """Means over a stream's brackets so far. To be begun anew with each stream and exposure plan; for stills each time.

    brackets: how many there were. drift: evidence of colour drift between neighbouring exposures (N - 1 x h x w x 6),
    see `drift.evidence`. white: factor, see `gamma.white_gain`.
    """

    brackets: int = 0
    drift: Planes | None = None
    white: float = 1.0

    def begin(self) -> float:
        """Begin a bracket. Returns its share in the means, 0..1: all of it at first, later 1 / BRACKETS."""
        self.brackets += 1
        return self.share

    @property
    def share(self) -> float:
        """The present bracket's share in the means, 0..1."""
        return 1 / min(max(self.brackets, 1), BRACKETS)

    def drift_with(self, evidence: Planes) -> Planes:
        """Mean evidence of colour drift, with the present bracket's. Another size begins anew."""
        if self.drift is None or self.drift.shape != evidence.shape or self.share == 1:
            self.drift = evidence
        else:
            mean = evidence - self.drift
            mean *= self.share
            mean += self.drift
            self.drift = mean
        return self.drift

    def white_with(self, gain: float) -> float:
        """Mean white gain, with the present bracket's."""
        self.white = gain if self.share == 1 else self.white + self.share * (gain - self.white)
        return self.white


class Place(Protocol):
    """A bracket's place in a stream: `livemef.fusion.motion.steadiness.Place`."""

    @property
    def epoch(self) -> int:
        """Number of the exposure plan."""
        ...

    @property
    def frames(self) -> tuple[int, ...]:
        """Sequence numbers of the frames."""
        ...


@dataclass
class StreamMeans:
    """The means of one stream."""

    _means: RunningMeans = field(default_factory=RunningMeans)
    _key: tuple[Any, ...] = ()
    _newest: int = -1

    def follow(self, place: Place | None, shape: tuple[int, ...], exposures: int) -> RunningMeans:
        """The means for the next bracket, begun. They are new ones for a still (place None), another exposure plan,
        size or number of exposures, and where frame numbers do not go on."""
        key = () if place is None else (place.epoch, shape, exposures)
        newest = -1 if place is None else max(place.frames)
        if not key or key != self._key or newest <= self._newest:
            self._means = RunningMeans()
        self._key, self._newest = key, newest
        self._means.begin()
        return self._means
