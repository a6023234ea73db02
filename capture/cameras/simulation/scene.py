"""Scenes for the simulated camera: linear radiance, the camera's motion, and moving things."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.motion import Bumped, Pan, Path, Sway
from livemef.capture.errors import CaptureError
from livemef.capture.files.radiance import read_radiance

Radiance = NDArray[np.float32]
"""Linear BGR (sRGB primaries), height x width x 3. 1.0 fills the well of a pixel in 16 ms."""

_PAN_PIXELS_PER_S = 40.0
_FIELD_OF_VIEW = 62.0
"""Degrees, across the picture's width, for panoramas."""
_ZOOM = 1.5
"""Smallest ratio of a map's width to the picture's, for maps that are no panorama."""
_TYPICAL = 0.15
"""Radiance to which the median of a user's map is scaled: a mid-tone of a 16 ms exposure."""


@dataclass(frozen=True)
class Mover:
    """A moving thing in front of the scene, in the scene's coordinates.

    radiance: linear BGR times coverage; coverage: 0..1, height x width. path: of its top left corner.
    """

    radiance: Radiance
    coverage: NDArray[np.float32]
    path: Path


@dataclass(frozen=True)
class Scene:
    """A radiance map larger than the picture, the path of the picture's top left corner on it, and movers."""

    radiance: Radiance
    window: Path
    movers: tuple[Mover, ...] = ()


def margin_of(width: int) -> int:
    """Pixels (even) by which a scene for a swaying camera is larger than the picture, on each side."""
    return max(4, width // 80 * 2)


def swaying_window(width: int, motion: float) -> Sway:
    """Path of a camera that moves from side to side within the margin.

    Sideways only: windows between pixels cost twice as much where they are between rows as well.
    """
    margin = margin_of(width)
    return Sway((margin, margin), (margin - 2.0, 0.0), (19.0, 13.0), motion)


def flat_scene(width: int, height: int, radiance: float = 0.5) -> Scene:
    """Uniform grey; by default half a full well in 16 ms."""
    return Scene(np.full((height + 2, width + 2, 3), radiance, np.float32), still_window())


def still_window() -> Sway:
    """Path of a camera that stands still, its window at the scene's corner."""
    return Sway((0, 0), (0, 0), (1, 1))


def filtered(scene: Scene, crosstalk: float, seed: int) -> Scene:
    """The scene as seen through colour filters that pass a share `crosstalk` (0..0.5) of the other colours.

    The channels are then unbalanced as well: each has 60 to 100 % of the light.
    """
    if not crosstalk:
        return scene
    random = np.random.default_rng((seed, 5))
    others = random.uniform(0.1, 1.0, (3, 3)) * (1 - np.eye(3))
    mixed = (1 - crosstalk) * np.eye(3) + crosstalk * others / others.sum(axis=1, keepdims=True)
    matrix = (random.uniform(0.6, 1.0, 3)[:, None] * mixed).T.astype(np.float32)
    movers = tuple(replace(mover, radiance=mover.radiance @ matrix) for mover in scene.movers)
    return replace(scene, radiance=np.maximum(scene.radiance @ matrix, 0), movers=movers)


def bumped(scene: Scene, at_s: float, pixels: float) -> Scene:
    """The scene before a camera that is knocked at a scene time: its window moves by so many pixels, right and down."""
    by = pixels * 0.8, pixels * 0.6
    right, down = (math.ceil(distance) + 1 for distance in by)
    wider = np.asarray(cv2.copyMakeBorder(scene.radiance, 0, down, 0, right, cv2.BORDER_REPLICATE), np.float32)
    return replace(scene, radiance=wider, window=Bumped(scene.window, at_s, by))


def defocused(scene: Scene, sigma: float) -> Scene:
    """The scene as a lens out of focus shows it: blurred by sigma pixels. Movers stay sharp."""
    blurred = cv2.GaussianBlur(scene.radiance, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return replace(scene, radiance=np.asarray(blurred, np.float32))


def bars_scene(width: int, height: int, motion: float) -> Scene:
    """Upright bars, black and white, each an eighth of the width wide, travelling two widths a second."""
    columns = np.arange(2 * width + 2) // max(1, width // 8) % 2
    bars = np.repeat((0.02 + 0.7 * columns).astype(np.float32)[None, :, None], height + 2, axis=0)
    period = 2 * max(1, width // 8)
    turn = width // period * period
    return Scene(np.repeat(bars, 3, axis=2), Pan((0, 0), 2.0 * width * motion, turn))


def map_scene(file: str, width: int, height: int, motion: float) -> Scene:
    """A pan over a radiance map: all around for a panorama (twice as wide as high), else to and fro.

    Raises CaptureError for a file that is missing or holds no radiance map.
    """
    radiance = _read_map(FilePath(file).expanduser())
    if radiance.shape[1] == 2 * radiance.shape[0]:
        strip = _unroll(radiance, width, height)
        turn = strip.shape[1]
        closed = np.concatenate([strip, strip[:, : width + 2]], axis=1)
        return Scene(closed, Pan((0, 0), _PAN_PIXELS_PER_S * motion * width / 1280, turn))
    scale = _ZOOM * max(width / radiance.shape[1], height / radiance.shape[0])
    size = [round(side * scale) for side in radiance.shape[1::-1]]
    scaled = np.maximum(cv2.resize(radiance, size, interpolation=cv2.INTER_LINEAR), 0)
    reach = [(size[0] - width) / 2 - 2, (size[1] - height) / 2 - 2]
    return Scene(scaled, Sway((reach[0] + 1, reach[1] + 1), (reach[0], reach[1]), (47.0, 31.0), motion))


def _read_map(path: FilePath) -> Radiance:
    radiance = read_radiance(path)
    typical = float(np.median(radiance.max(axis=2)))
    if typical <= 0:
        raise CaptureError(f"radiance map {path}: is black over more than half of its area")
    return radiance * np.float32(_TYPICAL / typical)


def _unroll(panorama: Radiance, width: int, height: int) -> Radiance:
    """An equirectangular panorama projected to a cylinder, on which panning is a shift and verticals stay straight."""
    focal = width / 2 / np.tan(np.radians(_FIELD_OF_VIEW / 2))
    around = round(np.pi * focal) * 2
    longitude = (np.arange(around) + 0.5) / around * panorama.shape[1] - 0.5
    elevation = np.arctan((np.arange(height + 2) + 0.5 - (height + 2) / 2) / focal)
    latitude = (elevation / np.pi + 0.5) * panorama.shape[0] - 0.5
    grid_x, grid_y = np.meshgrid(longitude.astype(np.float32), latitude.astype(np.float32))
    return np.maximum(cv2.remap(panorama, grid_x, grid_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP), 0)
