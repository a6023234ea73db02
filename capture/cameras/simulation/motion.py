"""Paths over time of the camera's window and of moving things. Pixels and seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Path(Protocol):
    """A position for each time."""

    def at(self, time_s: float) -> tuple[float, float]:
        """(x, y) in pixels."""


@dataclass(frozen=True)
class Sway:
    """Slow motion about a centre: a sine in x and one in y, of different periods. Amplitudes in pixels."""

    centre: tuple[float, float]
    amplitude: tuple[float, float]
    periods_s: tuple[float, float]
    speed: float = 1.0

    def at(self, time_s: float) -> tuple[float, float]:
        """(x, y) in pixels; the centre at time 0."""
        turns = [2 * math.pi * time_s * self.speed / period for period in self.periods_s]
        return (
            self.centre[0] + self.amplitude[0] * math.sin(turns[0]),
            self.centre[1] + self.amplitude[1] * math.sin(turns[1]),
        )


@dataclass(frozen=True)
class Pan:
    """Uniform motion to the right, from the start again after `turn` pixels, where the scene repeats."""

    start: tuple[float, float]
    pixels_per_s: float
    turn: float

    def at(self, time_s: float) -> tuple[float, float]:
        """(x, y) in pixels, 0 <= x < turn."""
        return (self.start[0] + self.pixels_per_s * time_s) % self.turn, self.start[1]


@dataclass(frozen=True)
class Slides:
    """`count` positions, `step` pixels apart, each held for `hold_s`, then from the first again."""

    step: float
    count: int
    hold_s: float
    speed: float = 1.0

    def at(self, time_s: float) -> tuple[float, float]:
        """(x, y) in pixels of the slide that is shown."""
        return math.floor(time_s * self.speed / self.hold_s) % self.count * self.step, 0.0


@dataclass(frozen=True)
class Bumped:
    """A path that is displaced by `by` pixels (x, y) from `at_s` on."""

    path: Path
    at_s: float
    by: tuple[float, float]

    def at(self, time_s: float) -> tuple[float, float]:
        """(x, y) in pixels."""
        x, y = self.path.at(time_s)
        return (x, y) if time_s < self.at_s else (x + self.by[0], y + self.by[1])
