"""Patterns without photographs: noise that tiles, and what is made of it. Coordinates in metres."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.raycast import Floats

Colour = tuple[float, float, float]
"""Linear reflectance or radiance, in the order blue, green, red."""

_SIDE = 512
_SHEET = 1024


@cache
def noise_tile(seed: int, steepness: float) -> NDArray[np.float32]:
    """A square tile of noise with spectrum 1 / frequency ** steepness, mean 0, standard deviation 1."""
    white = np.random.default_rng((seed, 11)).standard_normal((_SIDE, _SIDE))
    frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None, :])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(white) / frequency**steepness, (_SIDE, _SIDE))
    return np.asarray(noise / noise.std(), np.float32)


def noise(u: Floats, v: Floats, seed: int = 0, steepness: float = 1.4) -> Floats:
    """Smooth noise (mean 0, standard deviation 1) at (u, v), repeating after 1 (m) in both."""
    count = u.size
    rows = max(1, -(-count // _SHEET))
    sheets = []
    for coordinate in (u, v):
        sheet = np.zeros(rows * _SHEET, np.float32)
        sheet[:count] = np.mod(coordinate, 1.0) * _SIDE
        sheets.append(sheet.reshape(rows, _SHEET))
    tile = noise_tile(seed, steepness)
    sampled = cv2.remap(tile, sheets[0], sheets[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(sampled.ravel()[:count], np.float32)


def chance(*keys: Floats) -> Floats:
    """A fixed random number from 0 to 1 for each set of whole-number keys."""
    mixed = sum(np.sin(key * (12.9898 + 65.71 * place)) for place, key in enumerate(keys)) * 43758.5453
    return np.asarray(mixed - np.floor(mixed), np.float32)


def mix(first: Colour, second: Colour, share: Floats) -> Floats:
    """(3, n): the first colour where share is 0, the second where it is 1."""
    a, b = (np.array(colour, np.float32)[:, None] for colour in (first, second))
    return a + (b - a) * np.clip(share, 0, 1)


def step(low: float, high: float, values: Floats) -> Floats:
    """0 below low, 1 above high, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def plain(colour: Colour, count: int) -> Floats:
    """(3, count) of one colour."""
    return np.repeat(np.array(colour, np.float32)[:, None], count, axis=1)


def wood(along: Floats, across: Floats, light: Colour, dark: Colour, plank: float) -> Floats:
    """Planks of `plank` metres: grain along them, each of its own tone, dark joints."""
    number = np.floor(across / plank)
    tone = chance(number)
    grain = noise(along * 0.15 + tone, across * 1.9, 3) * 0.5 + noise(along * 0.6 + tone, across * 7.0, 4) * 0.3
    colour = mix(dark, light, 0.5 + 0.28 * grain + 0.5 * (tone - 0.5))
    inside = np.abs(across / plank - number - 0.5) * plank
    return colour * (1 - 0.75 * step(plank / 2 - 0.006, plank / 2 - 0.001, inside))


def plaster(u: Floats, v: Floats, colour: Colour) -> Floats:
    """A painted wall: one colour, faintly uneven."""
    uneven = 1 + 0.025 * noise(u * 0.23, v * 0.23, 5) + 0.03 * noise(u * 1.7, v * 1.7, 6, 0.8)
    return plain(colour, u.size) * uneven


def fabric(u: Floats, v: Floats, colour: Colour) -> Floats:
    """Woven cloth."""
    weave = np.sin(u * 900) * np.sin(v * 900)
    return plain(colour, u.size) * (1 + 0.10 * weave + 0.08 * noise(u * 0.9, v * 0.9, 7, 1.0))
