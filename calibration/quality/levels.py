"""Levels of image quality as data, and where a measured picture stands.

An indication, never a statement of conformance: that needs the publisher's own target and procedure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from livemef.calibration.quality.definitions import Definitions

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a level allows (sampling_efficiency: the least; gain_highlights: least and most). None: no limit.

    colour_mean, colour_p90, colour_max: CIEDE2000. white: distance in a*, b*. tone: L*. noise: standard deviation of
    L*. sharpening: largest SFR. non_uniformity: share of L*, 0..1. misregistration: pixels.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    colour_mean: Positive | None = None
    colour_p90: Positive | None = None
    colour_max: Positive | None = None
    white: Positive | None = None
    tone: Positive | None = None
    gain_highlights: tuple[Positive, Positive] | None = None
    noise: Positive | None = None
    sampling_efficiency: Positive | None = None
    sharpening: Positive | None = None
    non_uniformity: Positive | None = None
    misregistration: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """A level: its name, where its numbers come from, and whether they were read in the publisher's own text.

    sl_one: its colour differences are CIEDE2000 with SL = 1.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    edition: str
    source: str
    status: Literal["primary", "secondary"]
    limits: Limits
    sl_one: bool = False


@dataclass(frozen=True)
class Criterion:
    """One criterion of a level, held against what was measured. share: of the limit that is used up; above 1 fails."""

    name: str
    measured: float
    limit: float | tuple[float, float]
    share: float


@dataclass(frozen=True)
class Standing:
    """Where a picture stands against a level: `within` says whether all that was measured is inside its limits.

    unmeasured: criteria of the level that the picture gives no value for.
    """

    level: Level
    criteria: tuple[Criterion, ...]
    unmeasured: tuple[str, ...] = field(default=())

    @property
    def within(self) -> bool:
        """Whether every measured criterion is inside its limit."""
        return all(criterion.share <= 1 for criterion in self.criteria)

    @property
    def worst(self) -> Criterion | None:
        """The criterion that uses up most of its limit."""
        return max(self.criteria, key=lambda criterion: criterion.share, default=None)


_LEVELS = Definitions("level", TypeAdapter(tuple[Level, ...]))
shipped_levels, load_levels, find_level = _LEVELS.shipped, _LEVELS.load, _LEVELS.find


def standing(level: Level, measured: Mapping[str, float]) -> Standing:
    """Hold measured values, by the names of Limits, against a level."""
    criteria, unmeasured = [], []
    for name, limit in vars(level.limits).items():
        if limit is None:
            continue
        if name not in measured:
            unmeasured.append(name)
            continue
        criteria.append(Criterion(name, measured[name], limit, _share(name, measured[name], limit)))
    return Standing(level, tuple(criteria), tuple(unmeasured))


def _share(name: str, value: float, limit: float | tuple[float, float]) -> float:
    if isinstance(limit, tuple):
        low, high = limit
        middle = (low + high) / 2
        return abs(value - middle) / (high - middle)
    return limit / max(value, 1e-9) if name == "sampling_efficiency" else value / limit
