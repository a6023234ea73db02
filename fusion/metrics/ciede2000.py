"""CIEDE2000: Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", Color Research and Application, 2005."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livemef.fusion.method.colour import decode_table, lab_from_linear


def of_pictures(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.floating[Any]]:
    """Colour difference of every pixel of two BGR uint8 pictures in sRGB."""
    lab = [np.stack(lab_from_linear(decode_table(256)[picture]), -1) for picture in (first, second)]
    return ciede2000(lab[0], lab[1])


def ciede2000(first: ArrayLike, second: ArrayLike, lightness_weight: bool = True) -> NDArray[np.floating[Any]]:
    """Colour difference of CIELAB values (..., 3). lightness_weight: False takes SL = 1, as Metamorfoze does."""
    l1, a1, b1 = np.moveaxis(np.asarray(first, float), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, float), -1, 0)
    grey = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(grey**7 / (grey**7 + 25.0**7))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = np.where(c1 * c2 == 0, 0, (h2 - h1 + 180) % 360 - 180)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    middle = np.where(np.abs(h1 - h2) > 180, h1 + h2 + 360, h1 + h2) / 2
    hue = np.radians(np.where(c1 * c2 == 0, h1 + h2, middle))
    t = (
        1
        - 0.17 * np.cos(hue - np.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    bend = 60 * np.exp(-(((np.degrees(hue) % 360 - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(bend))
    bulge = 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2) if lightness_weight else 0.0
    parts = (
        (l2 - l1) / (1 + bulge),
        (c2 - c1) / (1 + 0.045 * chroma),
        2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * t),
    )
    squared = parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2 + rotation * parts[1] * parts[2]
    return np.asarray(np.sqrt(np.maximum(0, squared)))
