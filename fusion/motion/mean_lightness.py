"""The mean lightness of a stream's pictures, followed at its own even speed rather than copied from every bracket."""

from __future__ import annotations

from dataclasses import dataclass

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

    def factor(self, seen: float) -> float:
        """On a lightness whose mean is `seen`, for the mean to show."""
        return 1 + (self.follow(seen) - seen) / max(seen, 1.0)
