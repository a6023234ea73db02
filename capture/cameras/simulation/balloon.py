"""A toy balloon that drifts through the room, before dark and bright background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.motion import Sway
from livemef.capture.cameras.simulation.scene import Mover, margin_of

_LIGHT_FROM = (0.55, 0.30, 0.35)
"""Direction towards the window, as seen on the balloon (x right, y up, z to the viewer)."""


def balloon(width: int, height: int, motion: float) -> Mover:
    """A red balloon about a tenth of the picture's height, lit from the window's side, on a string."""
    radius = max(4.0, 0.062 * height)
    box = (int(4.6 * radius), int(2.4 * radius))
    y, x = np.mgrid[: box[0], : box[1]].astype(np.float32)
    u, v = (x + 0.5 - box[1] / 2) / radius, (y + 0.5) / radius - 1.25
    body = u / (1 - 0.13 * np.maximum(v, 0)), v / 1.14
    square = body[0] ** 2 + body[1] ** 2
    soft = 1.2 / radius
    coverage = _step(-soft, soft, 1 - np.sqrt(square))
    up = np.stack([body[0], -body[1], np.sqrt(np.maximum(1 - square, 0))])
    facing = np.einsum("i,ijk->jk", np.array(_LIGHT_FROM) / np.linalg.norm(_LIGHT_FROM), up)
    diffuse = 0.05 + 0.42 * np.maximum(facing, 0) + 0.10 * np.maximum(-facing, 0) ** 2
    rim = np.maximum(1 - up[2], 0) ** 3
    colour = np.stack([0.10 + 0.35 * rim, 0.07 + 0.25 * rim, 0.85 + 0.15 * rim], axis=-1) * diffuse[..., None]
    shine = np.exp(-((body[0] - 0.42) ** 2 / 0.010 + (body[1] + 0.36) ** 2 / 0.035))
    colour += shine[..., None] * np.array([1.6, 1.5, 1.4])
    string = _step(-0.03, 0.0, -np.abs(u - 0.10 * np.sin(2.2 * (v - 1.2)) * (v > 1.2))) * (v > 1.15)
    string = string * _step(0.0, 0.3, 3.35 - v)
    covered = np.maximum(coverage, 0.8 * string).astype(np.float32)
    colour = np.where((coverage > string)[..., None], colour, 0.25)
    path = Sway(
        (margin_of(width) + 0.44 * width, margin_of(width) + 0.30 * height),
        (0.26 * width, 0.10 * height),
        (17.0, 7.3),
        motion,
    )
    return Mover((colour * covered[..., None]).astype(np.float32), covered, path)


def _step(low: float, high: float, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smoothstep: 0 below low, 1 above high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
