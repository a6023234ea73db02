"""A test target for a copy stand: a ColorChecker, slanted bars, even grey and a scale bar, in one plane.

Places are in patch sides from the outer corner of the patch dark skin, x to the right, y down; a patch side is 40 mm.
Edges are drawn exactly: each pixel that an edge crosses is the mean of 64 points.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.scene import Scene, still_window
from livemef.capture.cameras.simulation.targets import CHART_LINEAR_RGB, Lens

SIDE_MM = 40.0
PITCH = 1.15
"""From one patch to the next."""
WIDTH, HEIGHT = 5 * PITCH + 1, 3 * PITCH + 1
"""Of the patches."""
FRAME = 0.2
"""Width of the black frame around the patches."""
BARS = ((-1.15, HEIGHT / 2), (WIDTH + 1.15, HEIGHT / 2))
"""Centres of the slanted bars. No squares: OpenCV's chart detector takes those for patches, and then finds nothing."""
BAR_SIZE = 1.0, 2.8
SLANT_DEGREES = 5.0
MARKS = ((WIDTH / 2 - 2.5, HEIGHT + 0.6), (WIDTH / 2 + 2.5, HEIGHT + 0.6))
"""Centres of the scale bar's round marks, 200 mm apart."""
MARK_RADIUS = 0.15
SCALE_HALF = 3.0, 0.3
"""Half the scale bar's length and width."""
SHEET = 11.5, 6.5
"""What the picture shows at least, in patch sides across and down."""

_LIGHT = 0.8
"""Radiance of a perfect white."""
_GREY, _BLACK, _BAR, _WHITE = 0, 25, 26, 27
_PALETTE = np.array(
    [(0.5, 0.5, 0.5), *(colour[::-1] for colour in CHART_LINEAR_RGB), (0.02,) * 3, (0.125,) * 3, (0.85,) * 3],
    np.float32,
)
"""Linear BGR of each surface: the sheet, 24 patches, black, the slanted bars, the scale bar."""
_FINE = 8

Places = NDArray[np.float64]


def pixels_per_side(width: int, height: int) -> float:
    """Pixels to a patch side, in a picture of this size without distortion."""
    return min(width / SHEET[0], height / SHEET[1])


def target_scene(width: int, height: int, lens: Lens, blur: float) -> Scene:
    """The target, centred, seen from straight above. lens: distortion, roll. blur: of the optics, sigma in pixels."""
    rows, columns = height + 2, width + 2
    at = _painted(np.arange(-0.5, columns), np.arange(-0.5, rows), width, height, lens)
    fine = np.repeat(np.repeat(_PALETTE[at[:-1, :-1]], 2, axis=0), 2, axis=1)  # half pixels, so that a blur is smooth
    corners = np.stack([at[:-1, :-1], at[1:, :-1], at[:-1, 1:], at[1:, 1:]])
    mixed_y, mixed_x = np.nonzero(np.ptp(corners, axis=0))
    inside = (np.arange(_FINE) + 0.5) / _FINE - 0.5
    for part in np.array_split(np.arange(len(mixed_y)), max(1, len(mixed_y) // 20000)):
        y = mixed_y[part, None, None] + inside[None, :, None] + np.zeros(_FINE)
        x = mixed_x[part, None, None] + inside[None, None, :] + np.zeros((_FINE, 1))
        points = _PALETTE[_surface(*_on_sheet(x, y, width, height, lens))]
        halves = points.reshape(-1, 2, _FINE // 2, 2, _FINE // 2, 3).mean(axis=(2, 4))
        for down, across in np.ndindex(2, 2):
            fine[2 * mixed_y[part] + down, 2 * mixed_x[part] + across] = halves[:, down, across]
    if blur:
        fine = np.asarray(cv2.GaussianBlur(fine, (0, 0), 2 * blur))
    light = fine.reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3)) * np.float32(_LIGHT)
    return Scene(np.asarray(light, np.float32), still_window())


def _painted(x: Places, y: Places, width: int, height: int, lens: Lens) -> NDArray[np.uint8]:
    """Number of the surface at each place of a grid, band by band."""
    bands = np.array_split(y, max(1, len(y) // 64))
    return np.concatenate([_surface(*_on_sheet(*np.meshgrid(x, band), width, height, lens)) for band in bands])


def _on_sheet(x: Places, y: Places, width: int, height: int, lens: Lens) -> tuple[Places, Places]:
    """The place on the sheet, in patch sides, that a place in the picture (pixels) shows."""
    focal = lens.focal * width
    x, y = (x - (width - 1) / 2) / focal, (y - (height - 1) / 2) / focal
    if lens.k1 or lens.k2:
        seen = np.hypot(x, y)
        factor = lens.straightened(seen) / np.maximum(seen, 1e-12)
        x, y = x * factor, y * factor
    sides = focal / pixels_per_side(width, height)
    turn = math.radians(lens.roll)
    across = (x * math.cos(turn) + y * math.sin(turn)) * sides + WIDTH / 2
    down = (y * math.cos(turn) - x * math.sin(turn)) * sides + (HEIGHT + 0.6) / 2
    return across, down


def _surface(x: Places, y: Places) -> NDArray[np.uint8]:
    """Number in the palette of what lies at places on the sheet."""
    found = np.full(x.shape, _GREY, np.uint8)
    framed = (np.abs(x - WIDTH / 2) < WIDTH / 2 + FRAME) & (np.abs(y - HEIGHT / 2) < HEIGHT / 2 + FRAME)
    found[framed] = _BLACK
    column, row = np.floor(x / PITCH), np.floor(y / PITCH)
    patch = (x - column * PITCH < 1) & (y - row * PITCH < 1) & (x >= 0) & (y >= 0) & (x < WIDTH) & (y < HEIGHT)
    found[patch] = (1 + row * 6 + column)[patch].astype(np.uint8)
    slant = math.radians(SLANT_DEGREES)
    for centre_x, centre_y in BARS:
        across = (x - centre_x) * math.cos(slant) + (y - centre_y) * math.sin(slant)
        down = (y - centre_y) * math.cos(slant) - (x - centre_x) * math.sin(slant)
        found[(np.abs(across) < BAR_SIZE[0] / 2) & (np.abs(down) < BAR_SIZE[1] / 2)] = _BAR
    middle = (MARKS[0][0] + MARKS[1][0]) / 2, MARKS[0][1]
    found[(np.abs(x - middle[0]) < SCALE_HALF[0]) & (np.abs(y - middle[1]) < SCALE_HALF[1])] = _WHITE
    for centre_x, centre_y in MARKS:
        found[np.hypot(x - centre_x, y - centre_y) < MARK_RADIUS] = _BLACK
    return found
