"""Colours where a darker reference is dim: those that the other exposure shows nearby in things as light.

Near black a code more or less in one channel is a colour, and compression leaves whole blocks with a wrong one. What
moves was somewhere near in the other exposure, with the colour that it has there: a joint bilateral mean over that
(Petschnigg et al., "Digital photography with flash and no-flash image pairs", SIGGRAPH 2004), by lightness, and by what
colour the reference seems to have.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import LUMA_WEIGHTS
from livemef.fusion.method import downscale
from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import Curve

Values = NDArray[np.floating[Any]]

CLEAR_OF_NOISE, LEAST_CLEAR, MOST_CLEAR = 12.0, 0.08, 0.2
"""Encoded value from which a reference's colour is believed, over the deviation between the exposures; bounds of it."""
MOST_CARRIED = 0.5
DIM_PART = 0.3
"""Part of that value up to which the colour is not believed."""
REACH, STRIDE = 8, 2
"""Small pixels to each side that are asked for colours, and every how many of them."""
LIGHT_PART, LIGHT_LEAST = 0.25, 0.02
"""Difference of luma at which a pixel's weight is a quarter: part of the luma, and encoded."""
COLOUR_PART = 0.3
"""The same for the difference of colours, encoded: part of the value from which they are believed."""
GREY = 0.05
"""Weight of grey, for when nothing near is like it. A pixel that is just like it weighs 1."""
LEAST_LUMA = 0.02
CLEAR_OF_PIXELS = 6.0
"""The same over the deviation of a dark pixel's noise."""
FAINT = 1 / 255
"""Encoded luma so low that a colour relative to it means nothing."""
GRAIN = 3.0
"""Deviations of a pixel's noise: of a difference so large from the small picture's luma half is kept."""
LEAST_SQUARE = 1e-12


def clear_from(allowed: Allowed) -> float:
    """The encoded value from which a darker reference's colour is believed, by the deviation of what it says of the
    other exposure at LEAST_CLEAR to MOST_CLEAR: sensors give .006 to .008, compressed video .015 to .03.
    """
    first, last = (round(value * intensity_mapping.KNOTS) for value in (LEAST_CLEAR, MOST_CLEAR))
    variances = allowed.noise[:, first:last]
    noise = math.sqrt(variances.sum() / variances.size)
    return min(max(CLEAR_OF_NOISE * noise, LEAST_CLEAR), MOST_CLEAR)


def carried(clear: float, curves: Curve) -> float:
    """The same value of what was made by these curves, which is the reference of the next exposure."""
    return min(float(curves[:, round(clear * intensity_mapping.KNOTS)].max()), MOST_CARRIED)


def grain_of(noise: float, curves: Curve, clear: float) -> float:
    """GRAIN deviations (encoded) of what these curves make of a dim reference's pixels with this noise. clear: see
    clear_from.
    """
    rise = curves[:, round(clear * intensity_mapping.KNOTS)] - curves[:, 0]
    return GRAIN * noise * float(rise.max()) / clear


def square_of(grain: float) -> float:
    """Of grain, never quite 0, so that it may be divided by."""
    return grain * grain + LEAST_SQUARE


def tints(reference: Grid, there: Grid, mask: Mask, curves: Curve, clear: float) -> Grid | None:
    """What the small picture of the other exposure shows at the reference's moment (small pixels down x across x 3,
    encoded): the luma is the reference's; None if it is nowhere dim where it stands alone. Where they are not needed:
    as the reference itself gives them.

    reference, there: small pictures, the other exposure without its move; mask: of the grid; curves: the other's values
    for those of the reference, by channel (3 x KNOTS + 1); clear: see clear_from.
    """
    replaced = (downscale.mean_cells(mask, *reference.shape[:2]) > 0).astype(np.uint8)
    needed = (cv2.dilate(replaced, np.ones((3, 3), np.uint8)) > 0) & (reference.max(axis=2) < np.float32(clear))
    if not needed.any():
        return None
    luma, own = _luma_and_colour(intensity_mapping.at_channels(curves, reference))
    result = own.copy()
    result[needed] = _seen_nearby(*_luma_and_colour(there), luma, own, np.nonzero(needed), COLOUR_PART * clear)
    blue, _, red = LUMA_WEIGHTS
    green = -(np.float32(blue) * result[..., 0] + np.float32(red) * result[..., 1]) / np.float32(LUMA_WEIGHTS[1])
    return np.asarray(luma[..., None] * np.stack([1 + result[..., 0], 1 + green, 1 + result[..., 1]], axis=-1))


def _luma_and_colour(grid: Grid) -> tuple[Mask, Grid]:
    """Luma, and blue and red less luma, over luma (h x w x 2)."""
    blue, green, red = (grid[..., channel] for channel in range(3))
    luma = sum(np.float32(weight) * plane for weight, plane in zip(LUMA_WEIGHTS, (blue, green, red), strict=True))
    over = 1 / np.maximum(luma, np.float32(LEAST_LUMA))
    return np.asarray(luma, np.float32), np.stack([(blue - luma) * over, (red - luma) * over], axis=-1)


def _seen_nearby(
    luma_there: Mask, colour_there: Grid, luma: Mask, colour: Grid, places: tuple[NDArray[np.intp], ...], astray: float
) -> NDArray[np.float32]:
    """Mean colour (places x 2) of the other exposure about some places, weighted by likeness. astray: difference of
    colours at which the weight is a quarter.
    """
    padded, colours = (
        np.pad(plane, ((REACH, REACH), (REACH, REACH), *((0, 0),) * (plane.ndim - 2)), mode="edge")
        for plane in (luma_there, colour_there)
    )
    luma, colour = luma[places], colour[places]
    wide = np.square(1 / (np.float32(LIGHT_PART) * luma + np.float32(LIGHT_LEAST)))
    total, weights = np.zeros_like(colour), np.full(luma.shape, np.float32(GREY))
    for down in range(0, 2 * REACH + 1, STRIDE):
        for across in range(0, 2 * REACH + 1, STRIDE):
            place = places[0] + down, places[1] + across
            lighter, seen = padded[place] - luma, colours[place]
            other = np.square((seen - colour) * luma[:, None]).sum(axis=1) * np.float32(astray**-2)
            weight = np.square(1 / ((1 + lighter * lighter * wide) * (1 + other)))
            total += weight[:, None] * seen
            weights += weight
    return np.asarray(total / weights[:, None], np.float32)


def with_tints(made: Values, tint: Values, reference: Values, clear: float, grain: float = 0.0) -> Values:
    """Values (... x 3, encoded 0..1) made from the reference, a darker one, where it is dim with the colours of `tint`
    (of the same shape) and with their own luma, except for differences from the tint's that are no larger than grain.

    clear: see clear_from; grain: see grain_of. The part of a difference that is kept is that of Wiener's filter.
    """
    dim, weights = DIM_PART * clear, np.array(LUMA_WEIGHTS)
    belief = np.clip((reference.max(axis=-1, keepdims=True) - dim) / (clear - dim), 0, 1)
    luma, smooth = ((values @ weights)[..., None] for values in (made, tint))
    apart = luma - smooth
    squares = np.square(apart)
    luma = smooth + apart * squares / (squares + square_of(grain))
    lit = (tint + FAINT) * (luma + FAINT) / (smooth + FAINT) - FAINT
    return np.asarray(belief * made + (1 - belief) * np.clip(lit, 0, 1))
