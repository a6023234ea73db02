"""Dark frame and flat field: black level, hot pixels, and vignetting."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.calibration.drawing import RED, Picture, beside, captioned, colour_map
from livemef.calibration.errors import CalibrationError
from livemef.calibration.mosaic import at_native_sites, native_sites
from livemef.calibration.profile import FlatSection, ResponseSection, now
from livemef.calibration.response import curve_for
from livemef.calibration.source import Stack

Values = NDArray[np.float64]

ROWS, COLUMNS = 13, 17
"""Size of the stored grid of transmissions."""
HOT_SIGMAS = 8.0
"""Temporal standard deviations above the dark level from which a pixel counts as hot: 10, less a margin for noise."""
MOST_HOT = 20000

_SQUARES_ACROSS = 64
_LEAST_LIGHT = 0.1
_DUST = 0.05


def measure_flat(flat: Stack, dark: Stack | None, response: ResponseSection | None) -> FlatSection:
    """Measure vignetting from an evenly lit field, and black level and hot pixels from a dark stack, if given.

    Raises CalibrationError if the flat field is too dark, too uneven to be one, or the dark frame is not dark.
    """
    light = curve_for(flat, response).light(flat.mean)
    if float(np.median(light)) < _LEAST_LIGHT:
        raise CalibrationError("the flat field is too dark: light it better, or take a longer exposure")
    squares, centres = _squares(light)
    maps = np.stack([_grid(squares[..., channel], centres) for channel in range(3)])
    left = squares / np.stack([interpolated(grid, *centres) for grid in maps], axis=-1)
    residual = float(np.std(left / np.median(left, axis=(0, 1)), axis=(0, 1)).max())
    if residual > 0.1:
        raise CalibrationError(
            f"the flat field is uneven by {residual:.0%} in small parts: is it out of focus, and still?"
        )
    native = native_sites(flat.variance)
    level = noise = exposure_us = None
    hot: tuple[tuple[int, int], ...] = ()
    if dark is not None:
        level, noise, hot = _dark_frame(dark, native)
        exposure_us = dark.exposure.exposure_us
    return FlatSection(
        date=now(),
        dark_level=level,
        dark_noise=noise,
        dark_exposure_us=exposure_us,
        hot_pixels=hot,
        vignetting=tuple(
            tuple(tuple(float(f"{value:.5g}") for value in row) for row in grid / grid.max()) for grid in maps
        ),
        residual=float(f"{residual:.4g}"),
    )


def vignetting_of(section: FlatSection, height: int, width: int) -> Values:
    """Relative transmission at each pixel, height x width x 3, 0..1."""
    y, x = (np.arange(side) / max(side - 1, 1) for side in (height, width))
    maps = [interpolated(np.array(grid), y, x) for grid in section.vignetting]
    return np.stack(maps, axis=-1).astype(np.float64)


def interpolated(grid: Values, y: Values, x: Values) -> Values:
    """Bilinear interpolation of a grid at y[i], x[j], both 0..1 from its first to its last row and column."""
    return np.asarray(_hats(y, grid.shape[0]) @ grid @ _hats(x, grid.shape[1]).T)


def _hats(at: Values, places: int) -> Values:
    """Linear interpolation between `places` nodes at positions `at` (0..1) as a matrix, positions x nodes."""
    return np.asarray(np.maximum(0.0, 1 - np.abs(at[:, None] * (places - 1) - np.arange(places))))


def _squares(light: Values) -> tuple[Values, tuple[Values, Values]]:
    """Medians of small squares, rows x columns x 3, and positions of their centres, 0..1 down and across.

    A square that deviates from those around it (dust, a hot pixel) is replaced by their median.
    """
    height, width = light.shape[:2]
    side = max(2, width // _SQUARES_ACROSS)
    rows, columns = height // side, width // side
    cut = light[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    y, x = (
        (np.arange(count) * side + (side - 1) / 2) / (whole - 1) for count, whole in ((rows, height), (columns, width))
    )
    medians = np.median(cut, axis=(1, 3))
    around = np.asarray(cv2.medianBlur(medians.astype(np.float32), 5), float)
    dirty = np.abs(medians - around) > _DUST * around
    return np.where(dirty, around, medians).astype(np.float64), (y, x)


def _grid(squares: Values, centres: tuple[Values, Values]) -> Values:
    """The grid whose interpolation fits the squares best (least squares)."""
    down, across = _hats(centres[0], ROWS), _hats(centres[1], COLUMNS)
    return np.asarray(np.linalg.pinv(down) @ squares @ np.linalg.pinv(across).T)


def _dark_frame(dark: Stack, native: NDArray[np.bool_]) -> tuple[float, float, tuple[tuple[int, int], ...]]:
    """Level, temporal noise and hot pixels (x, y), from samples that were measured, not interpolated; all channels."""
    if float(np.median(dark.mean)) > 0.25 * dark.white:
        raise CalibrationError("the dark frame is not dark: cover the lens")
    sites = at_native_sites(native, *dark.mean.shape[:2])
    level = float(np.median(dark.mean[sites]))
    noise = float(np.sqrt(np.median(dark.variance[sites]) + 1 / 12 / dark.full_range**2))
    hot = sites & (dark.mean - level > HOT_SIGMAS * noise)
    places = np.argwhere(hot.any(axis=2))
    if len(places) > MOST_HOT:
        raise CalibrationError(f"{len(places)} pixels of the dark frame are far above the others: cover the lens")
    return float(f"{level:.6g}"), float(f"{noise:.5g}"), tuple((int(x), int(y)) for y, x in places)


def draw(section: FlatSection, height: int, width: int) -> Picture:
    """The vignetting of the green channel, with the hot pixels marked."""
    green = vignetting_of(section, height, width)[..., 1]
    low = float(green.min())
    picture = colour_map(green, low, 1.0, 640)
    scale = 640 / width
    for x, y in section.hot_pixels:
        at = int(y * scale), int(x * scale)
        picture[max(0, at[0] - 2) : at[0] + 3, max(0, at[1] - 2) : at[1] + 3] = RED
    text = (
        f"light {low:.3f} (dark) to 1 (bright), residual {section.residual:.2%}, {len(section.hot_pixels)} hot pixels"
    )
    return captioned(beside(picture), text)
