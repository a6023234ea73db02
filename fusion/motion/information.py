"""How far a darker reference says what a brighter exposure would show where things move.

What is made of it has its noise, enlarged by the ratio of light. Where that is as large as the differences that are
looked for, cells agree by chance and show the older moment: a thing of which half is replaced is torn. So each
connected region of the mask is decided as a whole: made anew from the reference, or kept as the other exposure saw it,
late by a frame but in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.intensity_mapping import ExposureMap
from livemef.fusion.motion.regions import Means

LEAST_BOUND, BOUND_PART, MOST_BOUND = 0.005, 0.125, 0.03
"""A region is replaced up to a mean deviation (encoded) of LEAST_BOUND + BOUND_PART of the mean difference between the
exposures there, MOST_BOUND at most: noise that is small beside what would show twice does less harm. In daylight and of
clean sensors the deviation is a sixteenth to a seventh of the difference, of dim things a sixth to a third."""
HELD = 0.1
"""Part by which this is larger for a region that was replaced in the bracket before with the same newest exposure, and
smaller for one that was kept: what is near the bound does not change sides every cycle."""
RAMP = 0.0008
"""Width of the ramp between, encoded: half a thing of each moment shows twice."""
KNOWN_FROM = 1 / 16
"""Encoded value from which what a reference says is known at least as well as at any value from here to its own."""


def deviation(
    reference: Grid,
    mask: Mask,
    of_still: Allowed,
    loops: GridLoops,
    made: Mask | None = None,
    maps: Sequence[ExposureMap] = (),
) -> Mask:
    """The deviation (encoded) of what a darker reference says of a brighter exposure, for each cell of the mask.

    By the spread of what it said where nothing moves: near black a code of the reference is many of the other's. From
    KNOWN_FROM on the least spread from there to the value, for levels at which nearly all moves. made: the deviation of
    the reference itself where it was made from another one, else 0; then by `maps`, these exposures', as well.
    """
    spread = np.sqrt(of_still.noise)
    known = round(KNOWN_FROM * intensity_mapping.KNOTS)
    spread[:, known:] = np.minimum.accumulate(spread[:, known:], axis=1)
    found = loops.median_level(reference, spread, mask)
    if made is None:
        return found
    slopes = np.stack([intensity_mapping.smooth(one.slope) for one in maps])
    return np.asarray(np.maximum(found, made * loops.median_level(reference, slopes, mask)))


def replaced(mask: Mask, deviations: Mask, differences: Mask, before: Mask | None, loops: GridLoops) -> Mask:
    """How far each cell's region of the mask is to be replaced, 0..1; .5 outside of regions.

    deviations: see `deviation`; differences: between what the exposures show and should show, encoded; before: the
    result for the bracket before with the same newest exposure.
    """
    found = loops.find_regions(mask, [deviations, differences] if before is None else [deviations, differences, before])
    shares = _share(*found.means)
    shares[0] = 0.5
    return loops.of_regions(found, shares)


def _share(deviations: Means, differences: Means, before: Means | float = 0.5) -> Means:
    """How far regions of these means are to be replaced."""
    bound = np.minimum(differences * np.float32(BOUND_PART) + np.float32(LEAST_BOUND), np.float32(MOST_BOUND))
    bound *= before * np.float32(2 * HELD) + np.float32(1 - HELD)
    return np.asarray(np.clip((bound - deviations) * np.float32(1 / RAMP) + np.float32(0.5), 0, 1), np.float32)
