"""The pixels of an exposure as they would have been at the reference's moment."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.method import downscale
from livemef.fusion.method.guided_upsampling import bilinear_rows
from livemef.fusion.motion import dim_colour, intensity_mapping
from livemef.fusion.motion.dim_colour import with_tints
from livemef.fusion.motion.ghost_mask import Grid, Mask
from livemef.fusion.motion.intensity_mapping import Curve
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.saturation_fill import with_fill

STEPS = 16
"""Places between pixels are rounded to such parts: then the four weights are whole 256ths, and all machines agree."""


@dataclass(frozen=True)
class Compensation:
    """What makes the other exposure one of the reference's moment.

    move: pixels. mask: part of the reference, cells. curves: encoded values of the other for those of the reference,
    a curve a channel (3 x KNOTS + 1). fill: what the other exposure shows where the reference clips, see
    saturation_fill.behind_clipping; None where the reference is the darker one, or nothing is to be filled. tints:
    colours where a darker reference is dim, see dim_colour.tints; clear: where it is not, see dim_colour.clear_from;
    grain: of the reference's pixels there, see dim_colour.grain_of. clips_at: encoded value at which the reference
    clips.
    """

    move: Move
    mask: Mask
    curves: Curve
    fill: Grid | None
    tints: Grid | None = None
    clear: float = dim_colour.MOST_CLEAR
    grain: float = 0.0
    clips_at: float = 1.0

    @property
    def idle(self) -> bool:
        """Nothing has to be done."""
        return self.move == NO_MOVE and not self.mask.any()


def small_picture(reference: Grid, there: Grid, todo: Compensation, small: Grid) -> Grid:
    """The other exposure's small picture at the reference's moment.

    reference, there: grids, the latter without the move. small: its small picture, each pixel the mean of as many
    cells.
    """
    made, (height, width) = intensity_mapping.at_channels(todo.curves, reference), todo.mask.shape
    if todo.tints is not None:
        tints = bilinear_rows(todo.tints.astype(np.float64), height, width)
        made = with_tints(made, tints, reference, todo.clear, todo.grain)
    if todo.fill is not None:
        made = with_fill(
            made, bilinear_rows(todo.fill.astype(np.float64), height, width), reference, there, todo.clips_at
        )
    changes = np.asarray(todo.mask[..., None] * (made - there), np.float32)
    return small + downscale.mean_cells(changes, *small.shape[:2])


def exposure(seen: Pixels, other: Pixels, todo: Compensation, top: int = 0, bottom: int | None = None) -> Pixels:
    """Rows top..bottom of the other exposure (H x W x 3) at the reference's moment; `seen`: those rows of the
    reference. One dtype."""
    height, width = other.shape[:2]
    bottom = height if bottom is None else bottom
    white = float(np.iinfo(other.dtype).max)
    there = moved(other, todo.move, top, bottom).astype(np.float64)
    tables = intensity_mapping.code_tables(todo.curves, other.dtype)
    made = np.stack([tables[c][seen[..., c]] for c in range(3)], axis=-1).astype(np.float64)
    if todo.tints is not None:
        tints = bilinear_rows(todo.tints.astype(np.float64), height, width, top, bottom)
        made = white * np.asarray(with_tints(made / white, tints, seen / white, todo.clear, todo.grain), np.float64)
    if todo.fill is not None:
        fill = bilinear_rows(todo.fill.astype(np.float64), height, width, top, bottom)
        made = white * np.asarray(with_fill(made / white, fill, seen / white, there / white, todo.clips_at), np.float64)
    share = bilinear_rows(todo.mask[..., None].astype(np.float64), height, width, top, bottom)
    return np.asarray(np.floor(there + share * (made - there) + 0.5).astype(other.dtype))


def places(move: Move, height: int, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """How far across (for each row) and down (for each column) a pixel lies in the other exposure, STEPS-ths of one."""
    (a, b), (c, d) = move.offsets(height, width)
    return _rounded(a, b, height), _rounded(c, d, width)


def _rounded(slope: float, start: float, count: int) -> NDArray[np.int32]:
    if slope == 0:
        return np.full(count, math.floor(STEPS * start + 0.5), np.int32)
    return np.asarray(np.floor(STEPS * (slope * np.arange(count) + start) + 0.5).astype(np.int32))


def moved(pixels: Pixels, move: Move, top: int, bottom: int) -> Pixels:
    """Rows top..bottom of the picture without the move, interpolated; beyond its border the nearest pixel."""
    if move == NO_MOVE:
        return pixels[top:bottom]
    height, width = pixels.shape[:2]
    across, down = places(move, height, width)
    x = np.clip(STEPS * np.arange(width)[None] + across[top:bottom, None], 0, STEPS * (width - 1))
    y = np.clip(STEPS * np.arange(top, bottom)[:, None] + down[None], 0, STEPS * (height - 1))
    left, above = x // STEPS, y // STEPS
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    part_x, part_y = (x % STEPS)[..., None], (y % STEPS)[..., None]
    upper = (STEPS - part_x) * pixels[above, left].astype(np.int64) + part_x * pixels[above, right]
    lower = (STEPS - part_x) * pixels[below, left].astype(np.int64) + part_x * pixels[below, right]
    total = (STEPS - part_y) * upper + part_y * lower
    return np.asarray(((total + STEPS * STEPS // 2) // (STEPS * STEPS)).astype(pixels.dtype))
