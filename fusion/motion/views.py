"""What is known of the frames of a bracket while motion is found."""

from __future__ import annotations

from dataclasses import dataclass

from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import Curve
from livemef.fusion.motion.registration import NO_MOVE, Move, Plane
from livemef.fusion.motion.temporal_noise import NoiseLevels


@dataclass(frozen=True)
class View:
    """A grid, and the small picture of it."""

    grid: Grid
    small: Grid


@dataclass(frozen=True)
class Seen:
    """The newest frame of an exposure, small, and how surely each cell has changed since the frame before it.

    luma: in which moves are searched, see `registration.comparable`.
    known: whether there was one.
    """

    frame: int
    grid: Grid
    luma: Plane
    changed: Mask
    known: bool


@dataclass(frozen=True)
class Changed:
    """How surely the cells of an exposure have changed, and blink (None: none does); move: of both, in cells."""

    changed: Mask
    blinks: Mask | None
    move: Move = NO_MOVE


@dataclass(frozen=True)
class Former:
    """What was known of an exposure before a new frame of it. noise: None after its first frame.

    other: the exposure whose frame came before this one, if it is another one that has changed or not.
    """

    seen: Seen
    noise: NoiseLevels | None
    histograms: Curve
    blinks: Mask | None
    other: Changed | None


@dataclass(frozen=True)
class Observed:
    """The same with the frame. move: since the last frame of the exposure, in cells. other_blinks: of the other."""

    luma: Plane
    move: Move
    noise: NoiseLevels
    changed: Mask
    histograms: Curve
    blinks: Mask | None
    other_blinks: Mask | None


@dataclass(frozen=True)
class Difference:
    """Where two exposures show different things (0..1 a cell), what they may differ by elsewhere, and the histograms of
    the cells of both that move, if any is masked.
    """

    mask: Mask
    allowed: Allowed
    levels: tuple[Curve, Curve] | None


@dataclass(frozen=True)
class Replacing:
    """What a darker reference replaces of a brighter exposure, see information. mask: as far as it does; share: how far
    each region of the mask, 0..1; deviations: of what the reference says (encoded).
    """

    mask: Mask
    share: Mask
    deviations: Mask
