"""Lamps that a short exposure misses now and then: changes that no other exposure sees.

Mains lamps and LED signs are dark in some frames of a short exposure. That is a change of this exposure, but nothing
has moved: the frames of another exposure, taken before it and after it, are alike.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.fusion.method import downscale
from livemef.fusion.motion.ghost_mask import MOVES, Grid, Mask, wider_mask

NOTED, FORGET = 0.5, 1 / 48
"""What a change that another exposure did not see adds, and the part that each frame of the exposure takes away: a lamp
that was off and on again once is taken for one for the next 14 frames, and longer if it was so again."""
APART = 2
"""Cells by which a change of the other exposure may lie elsewhere."""
LEAST_FALL, ALONE = 0.25, 0.8
"""Encoded value by which a light that went out is darker at least, and the part of it by which it stood out."""
BESIDE = 4
"""Cells to both sides, in some direction, than which it was so much lighter."""
BLOCK, BLOCKS = 8, 2
"""Cells of a block's side, and blocks to each side of a light's own in which something else may have become lighter."""
MOST_RISES = 0.1
"""Of that, over what has become darker: something light that moves becomes darker here and lighter there."""
MOST_SEEN = 0.5
"""Cells that another exposure has seen change in these blocks, over those that have changed in the one that may miss a
lamp. What moves changes in both, if not in the same cells: a fan's blades may be back with each frame of one exposure.
"""


def without_lights_out(changed: Mask, grid: Grid, before: Grid) -> Mask:
    """The changes of a frame (`grid`) since the last one of its exposure, without those of small lights that went out
    in it while nothing near became lighter: most likely the exposure has missed a lamp, and nothing has moved.
    """
    light = before.max(axis=2)
    falls = light - grid.max(axis=2)
    moves = changed >= np.float32(MOVES)
    out = moves & (falls >= np.float32(LEAST_FALL))
    if not out.any():
        return changed
    out &= _stood_out(light, light - np.float32(ALONE) * falls)
    out &= _about(np.where(moves, np.maximum(-falls, 0), 0)) <= np.float32(MOST_RISES) * _about(
        np.where(moves, np.maximum(falls, 0), 0)
    )
    near = cv2.dilate(out.astype(np.uint8), np.ones((2 * APART + 1,) * 2, np.uint8))
    return np.where((near > 0) & (falls > 0), np.float32(0), changed)


def _stood_out(light: Mask, than: Mask) -> NDArray[np.bool_]:
    """Whether a cell's surroundings are no lighter than that on two sides that lie opposite."""
    height, width = light.shape
    padded, found = np.pad(light, BESIDE, mode="edge"), np.zeros(light.shape, bool)
    for down, across in ((0, BESIDE), (BESIDE, 0), (BESIDE, BESIDE), (BESIDE, -BESIDE)):
        sides = (padded[BESIDE + sign * down :, BESIDE + sign * across :][:height, :width] <= than for sign in (1, -1))
        found |= np.logical_and(*sides)
    return found


def _about(values: Mask) -> Mask:
    """The sum over the blocks about each cell's own."""
    (height, width), reach = values.shape, BLOCKS
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    whole = np.pad(values, ((0, down * BLOCK - height), (0, across * BLOCK - width)))
    sums = np.pad(downscale.mean_cells(whole, down, across), reach) * np.float32(BLOCK**2)
    total = sum(sums[y : y + down, x : x + across] for y in range(2 * reach + 1) for x in range(2 * reach + 1))
    return np.kron(total, np.ones((BLOCK, BLOCK), np.float32))[:height, :width]


def seen_by_other(changed: Mask, other: Mask) -> Mask:
    """How surely an exposure has changed where another one has, 0..1: about each cell, and 1 where it has in many cells
    nearby. changed, other: the changes of both.
    """
    about, moves = wider_mask([changed], APART), np.float32(MOVES)
    seen, moved = (_about((mask >= moves).astype(np.float32)) for mask in (changed, other))
    return np.where(seen > np.float32(MOST_SEEN) * moved, np.float32(1), about)


def followed(before: Mask | None, changed: Mask, seen_by_other: Mask) -> Mask | None:
    """How surely each cell blinks in an exposure, 0..1; None = none does so far.

    before: the same before its newest frame; changed: how surely that frame has changed; seen_by_other: whether another
    exposure has changed from before it to after it, see there.
    """
    found = np.float32(NOTED) * changed * (1 - seen_by_other)
    if before is not None:
        found += np.float32(1 - FORGET) * before
    return np.minimum(found, 1, dtype=np.float32) if found.max() >= NOTED / 2 else None


def without(changed: Mask, blinks: Mask) -> Mask:
    """The changes that are none of a blinking lamp: all where a cell blinks less surely than .5, none from .75 on."""
    return np.asarray(changed * np.clip(3 - 4 * blinks, 0, 1), np.float32)
