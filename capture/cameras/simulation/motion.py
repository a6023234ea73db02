"""Where things are at a time: paths of the camera's window and of what moves before it. Pixels and seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Path(Protocol):
    """A place for each time."""

    def at(self, time_s: float) -> tuple[float, float]:
        """(x, y) in pixels."""


@dataclass(frozen=True)
class Sway:
    """Slow sway about a centre: two sines of unlike periods, which never close. Amplitudes in pixels."""

    centre: tuple[float, float]
    amplitude: tuple[float, float]
    periods_s: tuple[float, float]
    speed: float = 1.0

    def at(self, time_s: float) -> tuple[float, float]:
        """The centre at time 0."""
        turns = [2 * math.pi * time_s * self.speed / period for period in self.periods_s]
        return (
            self.centre[0] + self.amplitude[0] * math.sin(turns[0]),
            self.centre[1] + self.amplitude[1] * math.sin(turns[1]),
        )


@dataclass(frozen=True)
class Pan:
    """Even travel to the right; at `turn` pixels it starts again (where the scene closes on itself)."""

    start: tuple[float, float]
    pixels_per_s: float
    turn: float

    def at(self, time_s: float) -> tuple[float, float]:
        """Within 0 <= x < turn."""
        return (self.start[0] + self.pixels_per_s * time_s) % self.turn, self.start[1]


@dataclass(frozen=True)
class Slides:
    """One place after another, each held: `count` of them, `step` pixels apart, then from the first again."""

    step: float
    count: int
    hold_s: float
    speed: float = 1.0

    def at(self, time_s: float) -> tuple[float, float]:
        """The place of the slide that is shown."""
        return math.floor(time_s * self.speed / self.hold_s) % self.count * self.step, 0.0
