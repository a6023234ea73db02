"""The mean lightness of a stream's pictures, followed at its own even speed rather than copied from every bracket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 0.5
"""Part of a small surprise that is taken at once."""
INTO_SPEED = 0.02
"""Part of a surprise that goes into the speed."""
SMALL, LARGE = 0.5, 3.0
"""L*: surprises that are smoothed, and surprises that are taken as they are (a light is switched on)."""


@dataclass
class MeanLightness:
    """An alpha-beta filter. value: L*; speed: L* a bracket; count: brackets seen."""

    value: float = 0.0
    speed: float = 0.0
    count: int = 0

    def follow(self, seen: float) -> float:
        """The mean lightness to show for a bracket that has the mean `seen`."""
        if self.count == 0:
            self.value, self.count = seen, 1
            return seen
        surprise = seen - self.value - self.speed
        share = min(max((abs(surprise) - SMALL) / (LARGE - SMALL), 0.0), 1.0)
        gain = max(AT_ONCE + (1 - AT_ONCE) * share, 1 / (self.count + 1))
        self.value += self.speed + gain * surprise
        self.speed = (1 - share) * (self.speed + INTO_SPEED * surprise)
        self.count += 1
        return self.value

    def scaled(self, affine: NDArray[np.float64], lights: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
        """Coefficients A of each L* plane in `lights`, then C (h x w x N + 1), of a lightness, scaled to the mean
        lightness to show."""
        light = affine[..., 0] * lights[0]
        for index, own in enumerate(lights[1:], 1):
            light = light + affine[..., index] * own
        mean = float(np.clip(light + affine[..., -1], 0, 100).mean())
        return np.asarray(affine * (1 + (self.follow(mean) - mean) / max(mean, 1.0)))
