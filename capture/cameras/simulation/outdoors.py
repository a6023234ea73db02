"""What is seen out of the window: sky, clouds, hills, trees and a meadow in the sun."""

from __future__ import annotations

import numpy as np

from livemef.capture.cameras.simulation.raycast import Floats
from livemef.capture.cameras.simulation.textures import Colour, mix, noise, plain, step

_HORIZON: Colour = (11.0, 10.0, 8.8)
_ZENITH: Colour = (9.0, 4.6, 2.2)
_CLOUD: Colour = (14.5, 14.3, 14.0)
_FAR_HILL: Colour = (4.6, 3.7, 2.6)
_NEAR_HILL: Colour = (1.1, 2.3, 1.5)
_HAZE: Colour = (5.0, 5.2, 4.4)


def outdoors(direction: Floats) -> Floats:
    """Radiance (3, n), linear BGR, along each direction (z ahead)."""
    ahead = np.maximum(direction[2], 1e-3)
    aside, up = direction[0] / ahead, direction[1] / ahead
    light = _sky(aside, up)
    far = 0.036 + 0.011 * noise(aside * 0.9, np.zeros_like(aside), 21)
    light = _cover(light, mix(_FAR_HILL, _HAZE, 0.35 + 12 * (far - up)), far - up)
    near = 0.016 + 0.008 * noise(aside * 1.3 + 0.4, np.zeros_like(aside), 22)
    shade = 0.5 + 0.3 * noise(aside * 5, up * 9, 23)
    light = _cover(light, mix(_NEAR_HILL, (0.5, 1.1, 0.6), shade), near - up)
    light = _cover(light, _meadow(aside, up), -up + 0.002)
    crown = noise(aside * 2.1, np.zeros_like(aside), 24)
    ragged = 0.004 * noise(aside * 14, up * 14, 25, 1.1)
    trees = -0.004 + 0.034 * step(0.1, 1.3, crown) + ragged * step(-0.2, 0.5, crown)
    return _cover(light, _leaves(aside, up), np.where(up > -0.006, trees - up, -1.0))


def _sky(aside: Floats, up: Floats) -> Floats:
    light = mix(_HORIZON, _ZENITH, np.sqrt(np.clip(up / 0.30, 0, 1)))
    puffs = noise(aside * 0.55 + 0.1, up * 1.5, 31, 1.6) + 0.35 * noise(aside * 2.2, up * 5.0, 32, 1.5)
    share = step(0.25, 1.5, puffs)
    return light + (plain(_CLOUD, up.size) - light) * share


def _meadow(aside: Floats, up: Floats) -> Floats:
    away = 1.5 / np.maximum(-up, 0.004)
    tufts = noise(aside * away * 0.09, away * 0.045, 26, 1.0)
    blades = noise(aside * 9, up * 17, 27, 0.8)
    grass = mix((0.25, 1.5, 0.85), (0.75, 3.9, 2.9), 0.45 + 0.22 * tufts + 0.16 * blades)
    return grass + (plain(_HAZE, up.size) - grass) * np.exp(-8.0 / np.maximum(away, 1e-3)) * 0.6


def _leaves(aside: Floats, up: Floats) -> Floats:
    clumps = noise(aside * 4.0, up * 4.6, 28, 1.2) + 0.7 * noise(aside * 16, up * 18, 29, 0.9)
    return mix((0.08, 0.42, 0.20), (0.45, 2.3, 1.35), 0.42 + 0.25 * clumps + 4 * up)


def _cover(behind: Floats, front: Floats, inside: Floats) -> Floats:
    """The front where `inside` is above 0, over a soft edge."""
    return behind + (front - behind) * step(-0.0006, 0.0006, inside)
