"""How far a darker reference says what a brighter exposure would show."""

from __future__ import annotations

import numpy as np

from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.loops import GridLoops

TELLS_FROM, TELLS_TO = 0.08, 0.04
"""Encoded deviation of what a darker reference says of a brighter exposure, where nothing moved: from which the
reference replaces nothing, and to which it replaces what it should."""
TELLS_BLUR = 5
KNOWN_FROM = 1 / 16
"""Encoded value from which what a reference says is known at least as well as at any value from here to its own."""


def information(reference: Grid, of_still: Allowed, loops: GridLoops) -> Mask:
    """How far a darker reference says what a brighter exposure would show, 0..1 a cell.

    By the spread of what it said where nothing moves: near black a code of the reference is many of the other's. From
    KNOWN_FROM on the least spread from there to the value, for levels at which nearly all moves.
    """
    spread = np.sqrt(of_still.noise)
    known = round(KNOWN_FROM * intensity_mapping.KNOTS)
    spread[:, known:] = np.minimum.accumulate(spread[:, known:], axis=1)
    return loops.falling_ramps(loops.median_level(reference, spread), TELLS_BLUR // 2, ((TELLS_FROM, TELLS_TO),))[0]
