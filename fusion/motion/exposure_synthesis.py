"""The pixels of an exposure as they would have been at the reference's moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import LUMA_WEIGHTS, Pixels
from livemef.fusion.method import downscale
from livemef.fusion.method.guided_upsampling import bilinear_rows
from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import Grid, Mask
from livemef.fusion.motion.intensity_mapping import Curve
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.saturation_fill import Values, with_fill

LUMA_OFFSET, ALIKE = 0.02, 1.25
"""Encoded; ratio of luma up to which two pixels are taken for the same thing, and half as much again for none."""

STEPS = 16
"""Places between pixels are rounded to such parts: then the four weights are whole 256ths, and all machines agree."""


@dataclass(frozen=True)
class Compensation:
    """What makes the other exposure one of the reference's moment.

    move: pixels. mask: part of the reference, cells. curves: encoded values of the other for those of the reference,
    a curve a channel (3 x KNOTS + 1). fill: what the other exposure shows where the reference clips, see
    saturation_fill.behind_clipping; None where the reference is the darker one. belief: cells, 0..1, how far the
    colour that the reference gives can be believed; None = all of it.
    """

    move: Move
    mask: Mask
    curves: Curve
    fill: Grid | None
    belief: Mask | None = None

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
    if todo.belief is not None:
        made = with_old_colour(made, there, todo.belief[..., None])
    if todo.fill is not None:
        made = with_fill(made, bilinear_rows(todo.fill.astype(np.float64), height, width), reference, there)
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
    if todo.belief is not None:
        believed = bilinear_rows(todo.belief[..., None].astype(np.float64), height, width, top, bottom)
        made = white * np.asarray(with_old_colour(made / white, there / white, believed), np.float64)
    if todo.fill is not None:
        fill = bilinear_rows(todo.fill.astype(np.float64), height, width, top, bottom)
        made = white * np.asarray(with_fill(made / white, fill, seen / white, there / white), np.float64)
    share = bilinear_rows(todo.mask[..., None].astype(np.float64), height, width, top, bottom)
    return np.asarray(np.floor(there + share * (made - there) + 0.5).astype(other.dtype))


def with_old_colour(made: Values, there: Values, belief: Values) -> Values:
    """Values (... x 3, encoded 0..1) made from the reference, where its colour can be believed only in part.

    Noise near black is no colour. Where the other exposure (`there`) had about the same luma, its colour is taken, else
    grey; the luma stays as made. belief: ... x 1, 0..1.
    """
    luma, old = (values @ np.array(LUMA_WEIGHTS) for values in (made, there))
    ratio = (luma + LUMA_OFFSET) / (old + LUMA_OFFSET)
    alike = np.clip(2 - np.maximum(ratio, 1 / ratio) / ALIKE, 0, 1)[..., None]
    grey = luma[..., None]
    coloured = grey + alike * (np.minimum(there * ratio[..., None], 1) - grey)
    return np.asarray(belief * made + (1 - belief) * coloured)


def places(move: Move, height: int, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """How far across (for each row) and down (for each column) a pixel lies in the other exposure, STEPS-ths of one."""
    (a, b), (c, d) = move.offsets(height, width)
    across, down = a * np.arange(height) + b, c * np.arange(width) + d
    rounded = (np.floor(STEPS * offsets + 0.5).astype(np.int32) for offsets in (across, down))
    return next(rounded), next(rounded)


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
