"""How far a darker reference says what a brighter exposure would show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import ExposureMap
from livemef.fusion.motion.loops import GridLoops

TELLS_FROM, TELLS_TO = 0.08, 0.04
"""Encoded deviation of what a darker reference says of a brighter exposure, where nothing moved: from which the
reference replaces nothing, and to which it replaces what it should."""
TELLS_BLUR = 5
KNOWN_FROM = 1 / 16
"""Encoded value from which what a reference says is known at least as well as at any value from here to its own."""


def information(
    reference: Grid, of_still: Allowed, loops: GridLoops, made: Mask | None = None, maps: Sequence[ExposureMap] = ()
) -> tuple[Mask, Mask]:
    """How far a darker reference says what a brighter exposure would show, 0..1 a cell, and the deviation of that.

    By the spread of what it said where nothing moves: near black a code of the reference is many of the other's. From
    KNOWN_FROM on the least spread from there to the value, for levels at which nearly all moves. made: the deviation of
    the reference itself where it was made from another one, else 0; then by `maps`, these exposures', as well.
    """
    spread = np.sqrt(of_still.noise)
    known = round(KNOWN_FROM * intensity_mapping.KNOTS)
    spread[:, known:] = np.minimum.accumulate(spread[:, known:], axis=1)
    deviation = loops.median_level(reference, spread)
    if made is not None:
        slopes = np.stack([intensity_mapping.smooth(one.slope) for one in maps])
        deviation = np.maximum(deviation, made * loops.median_level(reference, slopes))
    return loops.falling_ramps(deviation, TELLS_BLUR // 2, ((TELLS_FROM, TELLS_TO),))[0], deviation
