"""How the room is lit: daylight through the window, a sun patch, its bounce, a lamp, and reflections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.furniture import BEHIND, LAMP, WINDOW
from livemef.capture.cameras.simulation.outdoors import outdoors
from livemef.capture.cameras.simulation.raycast import Floats, Solid, blocked, unit
from livemef.capture.cameras.simulation.textures import Colour, mix, noise, plain, step

SUN_TRAVELS = (-0.36, -0.62, -0.70)
_SUN: Colour = (26.0, 33.0, 38.0)
_SKY_LIGHT: Colour = (10.0, 8.6, 7.4)
_GROUND_LIGHT: Colour = (1.6, 3.4, 2.6)
_LAMP_LIGHT: Colour = (0.26, 0.62, 1.05)
_BOUNCE: Colour = (0.9, 1.35, 1.9)
_SUN_PATCH = (-0.35, 0.02, 3.1)
_FILL: Colour = (0.62, 0.66, 0.68)
_DOORWAY = (-1.6, 2.0, -1.6)
"""Behind the camera, to its left: a door to a lit hall."""
_AMBIENT: Colour = (0.036, 0.036, 0.038)
_SAMPLES = (6, 5)
"""Cells of the window that light is gathered from, across and up."""


def daylight(point: Floats, normal: Floats, solids: Sequence[Solid], random: np.random.Generator) -> Floats:
    """Irradiance (3, n) from the sky and the ground outside, through the window, with soft shadows.

    Light comes from one random spot in each cell of the window, another one for each point.
    """
    left, right, low, high = WINDOW
    across, up = _SAMPLES
    area = (right - left) * (high - low) / (across * up)
    light = np.zeros_like(point)
    for cell in range(across * up):
        row, column = divmod(cell, across)
        share = np.asarray((row + random.random(point.shape[1], np.float32)) / up, np.float32)
        x = left + (column + random.random(point.shape[1], np.float32)) * np.float32((right - left) / across)
        way = np.stack([x - point[0], low + share * np.float32(high - low) - point[1], BEHIND - point[2]])
        square = np.maximum((way * way).sum(axis=0), 0.04)
        facing = (way * normal).sum(axis=0) * way[2] / (square * square)
        lit = np.flatnonzero((facing > 0) & (way[2] > 0))
        lit = lit[~blocked(solids, point[:, lit], way[:, lit])]
        light[:, lit] += mix(_GROUND_LIGHT, _SKY_LIGHT, share[lit]) * area * facing[lit]
    return light


def sunlight(point: Floats, normal: Floats, solids: Sequence[Solid]) -> Floats:
    """Irradiance (3, n) from the sun where it comes in through the window's panes."""
    towards = -unit(np.array(SUN_TRAVELS, np.float32)[:, None])
    facing = np.maximum((normal * towards).sum(axis=0), 0)
    reach = (BEHIND - point[2]) / towards[2]
    open_ = panes(point[0] + reach * towards[0], point[1] + reach * towards[1], 0.012)
    lit = np.flatnonzero((facing > 0) & (open_ > 0) & (reach > 0))
    way = towards * reach[lit] * 0.98
    free = ~blocked(solids, point[:, lit], way)
    share = np.zeros(point.shape[1], np.float32)
    share[lit] = facing[lit] * open_[lit] * free
    return plain(_SUN, point.shape[1]) * share


def room_light(point: Floats, normal: Floats) -> Floats:
    """Irradiance (3, n) from the lamp, the sun patch on the floor, the doorway behind the camera, and everywhere."""
    light: Floats = plain(_AMBIENT, point.shape[1]) * (0.75 + 0.25 * normal[1]) * np.pi
    sources = ((LAMP, _LAMP_LIGHT, False), (_SUN_PATCH, _BOUNCE, True), (_DOORWAY, _FILL, False))
    for place, colour, upward in sources:
        way = np.array(place, np.float32)[:, None] - point
        square = np.maximum((way * way).sum(axis=0), 0.03)
        facing = np.maximum((way * normal).sum(axis=0), 0) / np.sqrt(square)
        if upward:
            facing = facing * np.maximum(-way[1], 0) / np.sqrt(square)
        light += np.array(colour, np.float32)[:, None] * facing / square
    return light


def panes(x: Floats, y: Floats, soft: float) -> Floats:
    """How open the window is at (x, y) of the back wall: 0 at the wall and the frame's bars, 1 in the panes."""
    left, right, low, high = WINDOW
    middle, bar = (left + right) / 2, low * 0.42 + high * 0.58
    open_ = step(0.05 - soft, 0.05 + soft, np.minimum(x - left, right - x))
    open_ = open_ * step(0.06 - soft, 0.06 + soft, np.minimum(y - low, high - y))
    open_ = open_ * step(0.03 - soft, 0.03 + soft, np.abs(x - middle))
    return open_ * step(0.02 - soft, 0.02 + soft, np.abs(y - bar))


def mirrored(point: Floats, normal: Floats, direction: Floats, gloss: NDArray[np.float32]) -> Floats:
    """Radiance (3, n) that glossy things show of the window and the lamp (Schlick's approximation of Fresnel)."""
    light = np.zeros_like(point)
    shiny = np.flatnonzero(gloss > 0)
    if not shiny.size:
        return light
    place, upright, view = point[:, shiny], normal[:, shiny], direction[:, shiny]
    cosine = np.clip(-(view * upright).sum(axis=0), 0, 1)
    away = view + 2 * cosine * upright
    away[1] += 0.012 * noise(place[0] * 0.7, place[2] * 0.7 + place[1], 51, 1.8)
    fresnel = (0.04 + 0.96 * (1 - cosine) ** 5) * gloss[shiny]
    reach = (BEHIND - place[2]) / np.maximum(away[2], 1e-3)
    open_ = panes(place[0] + reach * away[0], place[1] + reach * away[1], 0.05) * (away[2] > 0)
    light[:, shiny] = outdoors(away) * open_ * fresnel
    bulb = np.array(LAMP, np.float32)[:, None] - place
    along = (bulb * away).sum(axis=0)
    miss = np.sqrt(np.maximum((bulb * bulb).sum(axis=0) - along * along, 0))
    light[:, shiny] += plain((0.85, 2.1, 3.6), shiny.size) * fresnel * step(-0.34, -0.08, -miss) * (along > 0)
    return light
