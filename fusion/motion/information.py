"""How far a darker reference says what a brighter exposure would show, and in which colour."""

from __future__ import annotations

import numpy as np

from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import Curve
from livemef.fusion.motion.loops import GridLoops

TELLS_FROM, TELLS_TO = 0.08, 0.04
"""Encoded deviation of what a darker reference says of a brighter exposure, where nothing moved: from which the
reference replaces nothing, and to which it replaces what it should."""
COLOUR_FROM, COLOUR_TO = 0.04, 0.02
"""The same for its colour."""
TELLS_BLUR = 5
KNOWN_FROM = 1 / 16
"""Encoded value from which what a reference says is known at least as well as at any value from here to its own."""
STRANGE_FROM, STRANGE_TO = 0.03, 0.015
"""Encoded: how far outside the range of colours nearby a colour is not believed, and is believed (`colour_range`)."""
STRANGE_BLUR = 3


def information(reference: Grid, of_all: Allowed, of_still: Allowed, loops: GridLoops) -> tuple[Mask, Mask]:
    """How far a darker reference says what a brighter exposure would show, and in which colour, 0..1 a cell.

    By the spread of what it said, of all cells and of those that stand still: near black a code of the reference is
    many of the other's. There all cells are asked, since what moves may have colours that nothing still has; from
    KNOWN_FROM on the least spread from there to the value: a large thing that moves would make its own levels pass for
    unknown.
    """
    spread = np.sqrt(of_all.noise)
    known = round(KNOWN_FROM * intensity_mapping.KNOTS)
    least = np.minimum(spread, np.sqrt(of_still.noise))[:, known:]
    spread[:, known:] = np.minimum.accumulate(least, axis=1)
    noise = loops.median_level(reference, spread)
    tells, colour = loops.falling_ramps(noise, TELLS_BLUR // 2, ((TELLS_FROM, TELLS_TO), (COLOUR_FROM, COLOUR_TO)))
    return tells, colour


def likely_colour(reference: Grid, there: Grid, curves: Curve, where: Mask, loops: GridLoops) -> Mask:
    """How far the colour that a dim reference gives is one that the other exposure, `there`, shows nearby, 0..1 a cell.

    curves: the other's values for those of the reference, by channel (3 x KNOTS + 1). where: above 0 where it matters.
    """
    strange = loops.strangeness(reference, there, curves, where)
    return loops.falling_ramps(strange, STRANGE_BLUR // 2, ((STRANGE_FROM, STRANGE_TO),))[0]
