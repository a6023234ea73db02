"""Lamps that a short exposure misses now and then: changes that no other exposure sees.

Mains lamps and LED signs are dark in some frames of a short exposure. That is a change of this exposure, but nothing
has moved: the frames of another exposure, taken before it and after it, are alike.
"""

from __future__ import annotations

import numpy as np

from livemef.fusion.motion.ghost_mask import Mask

NOTED, FORGET = 0.5, 1 / 48
"""What a change that another exposure did not see adds, and the part that each frame of the exposure takes away: a lamp
that was off and on again once is taken for one for the next 14 frames, and longer if it was so again."""
APART = 2
"""Cells by which a change of the other exposure may lie elsewhere."""


def followed(before: Mask | None, changed: Mask, seen_by_other: Mask) -> Mask | None:
    """How surely each cell blinks in an exposure, 0..1; None = none does so far.

    before: the same before its newest frame; changed: how surely that frame has changed; seen_by_other: how surely
    another exposure has changed from before it to after it, APART wider.
    """
    found = np.float32(NOTED) * changed * (1 - seen_by_other)
    if before is not None:
        found += np.float32(1 - FORGET) * before
    return np.minimum(found, 1, dtype=np.float32) if found.max() >= NOTED / 2 else None


def without(changed: Mask, blinks: Mask) -> Mask:
    """The changes that are none of a blinking lamp: all where a cell blinks less surely than .5, none from .75 on."""
    return np.asarray(changed * np.clip(3 - 4 * blinks, 0, 1), np.float32)
