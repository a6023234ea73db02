"""Scenes with test targets: a ColorChecker, and a ChArUco board in many poses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.motion import Slides
from livemef.capture.cameras.simulation.scene import Radiance, Scene, still_window

CHART_LINEAR_RGB = (
    (0.1737, 0.0788, 0.0528),
    (0.5599, 0.2774, 0.2109),
    (0.1042, 0.1889, 0.3289),
    (0.1058, 0.1507, 0.0508),
    (0.2275, 0.2124, 0.4264),
    (0.1153, 0.5074, 0.4111),
    (0.7460, 0.2021, 0.0298),
    (0.0587, 0.1012, 0.3877),
    (0.5602, 0.0801, 0.1146),
    (0.1092, 0.0420, 0.1381),
    (0.3328, 0.4973, 0.0426),
    (0.7712, 0.3578, 0.0204),
    (0.0209, 0.0475, 0.2841),
    (0.0461, 0.2920, 0.0615),
    (0.4462, 0.0364, 0.0405),
    (0.8419, 0.5743, 0.0046),
    (0.5224, 0.0778, 0.2893),
    (-0.0439, 0.2337, 0.3772),
    (0.8797, 0.8849, 0.8342),
    (0.5846, 0.5921, 0.5844),
    (0.3577, 0.3670, 0.3652),
    (0.1901, 0.1908, 0.1898),
    (0.0859, 0.0887, 0.0898),
    (0.0314, 0.0315, 0.0323),
)
"""The ColorChecker Classic since November 2014 under D65, row by row: linear light with sRGB's primaries, from X-Rite's
CIELAB values, Bradford-adapted. Cyan lies outside sRGB."""

BOARD_SQUARES = (8, 6)
BOARD_POSES = 14
BOARD_HOLD_S = 0.5

_CHART_LIGHT = 0.8
"""Radiance of a perfect white beside the chart."""
_CHART_SURROUND = 0.1
_BOARD_LIGHT = 0.6
_TEXTURE_SQUARE = 60
_SUPERSAMPLING = 2
_NEWTON_STEPS = 8


def chart_scene(width: int, height: int) -> Scene:
    """A ColorChecker on dark grey, a little rotated and tilted, three quarters of the picture wide."""
    patch, gap = 60, 12
    pitch = patch + gap
    chart = np.full((4 * pitch + gap, 6 * pitch + gap, 3), 0.02, np.float32)
    for number, colour in enumerate(CHART_LINEAR_RGB):
        top, left = (place * pitch + gap for place in divmod(number, 6))
        chart[top : top + patch, left : left + patch] = colour[::-1]
    scale = 0.75 * width / chart.shape[1]
    rows, columns = chart.shape[:2]
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    centred = (corners - corners.mean(axis=0)) * scale
    turn = math.radians(3.0)
    turned = centred @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    tilted = turned / (1 + 0.12 * turned[:, :1] / width)
    seen = (tilted + np.array([width / 2, height / 2])).astype(np.float32)
    fine = _SUPERSAMPLING
    warp = cv2.getPerspectiveTransform(corners, seen * fine)
    surround = [_CHART_SURROUND] * 3
    picture = cv2.warpPerspective(
        chart, warp, ((width + 2) * fine, (height + 2) * fine), borderMode=cv2.BORDER_CONSTANT, borderValue=surround
    )
    small = cv2.resize(picture, (width + 2, height + 2), interpolation=cv2.INTER_AREA)
    return Scene((small * _CHART_LIGHT).astype(np.float32), still_window())


@dataclass(frozen=True)
class Lens:
    """focal: focal length over the picture's width. k1, k2: radial distortion (OpenCV's model). roll: degrees."""

    focal: float
    k1: float
    k2: float
    roll: float

    def camera_matrix(self, width: int, height: int) -> NDArray[np.float64]:
        """3x3, with the principal point in the picture's middle."""
        focal = self.focal * width
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])

    def straightened(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Radii (tangents of the angle to the axis) of rays without distortion, for those seen with it."""
        true = seen.copy()
        for _ in range(_NEWTON_STEPS):
            squared = true**2
            bent = true * (1 + self.k1 * squared + self.k2 * squared**2)
            true -= (bent - seen) / (1 + 3 * self.k1 * squared + 5 * self.k2 * squared**2)
        return true


def board_scene(width: int, height: int, lens: Lens, motion: float) -> Scene:
    """A ChArUco board (8 x 6 squares, markers of 5X5_100 three quarters of a square) held in one pose after another."""
    texture = _board_texture()
    rays = _rays(width, height, lens)
    poses = [_seen(texture, rays, pose, lens.roll) for pose in _poses(BOARD_POSES)]
    strip = np.pad(np.concatenate(poses, axis=1), ((0, 2), (0, 2)), mode="edge")
    bgr: Radiance = np.repeat(strip[..., None] * np.float32(_BOARD_LIGHT), 3, axis=2)
    return Scene(bgr, Slides(float(width), BOARD_POSES, BOARD_HOLD_S, motion))


def _board_texture() -> NDArray[np.float32]:
    """The board with a white margin of half a square, 0..1."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    board = cv2.aruco.CharucoBoard(BOARD_SQUARES, 1.0, 0.75, dictionary)
    size = tuple((squares + 1) * _TEXTURE_SQUARE for squares in BOARD_SQUARES)
    image = board.generateImage(size, marginSize=_TEXTURE_SQUARE // 2)
    return np.asarray(0.05 + image.astype(np.float32) / 255 * 0.85, np.float32)


def _poses(count: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Rotations and positions (in squares) of the board's centre before the camera, tilted by up to 35 degrees."""
    random = np.random.default_rng(11)
    poses = []
    for _ in range(count):
        tilt = np.radians(random.uniform(-35, 35, 3) * [1, 1, 0.6])
        distance = random.uniform(9.0, 13.0)
        place = np.array([random.uniform(-0.16, 0.16) * distance, random.uniform(-0.12, 0.12) * distance, distance])
        poses.append((np.asarray(cv2.Rodrigues(tilt)[0], np.float64), place))
    return poses


def _rays(width: int, height: int, lens: Lens) -> NDArray[np.float64]:
    """Viewing direction (x/z, y/z, 1) of each pixel, supersampled: rows x columns x 3."""
    fine = _SUPERSAMPLING
    y, x = (np.mgrid[: height * fine, : width * fine] + 0.5) / fine - 0.5
    rays = np.stack([x, y, np.ones_like(x)], axis=2) @ np.linalg.inv(lens.camera_matrix(width, height)).T
    seen = np.hypot(rays[..., 0], rays[..., 1])
    rays[..., :2] *= (lens.straightened(seen) / np.maximum(seen, 1e-12))[..., None]
    return np.asarray(rays)


def _seen(
    texture: NDArray[np.float32],
    rays: NDArray[np.float64],
    pose: tuple[NDArray[np.float64], NDArray[np.float64]],
    roll: float,
) -> NDArray[np.float32]:
    """The board in a pose on mid-grey, height x width, 0..1, by intersecting each ray with its plane."""
    turn = np.asarray(cv2.Rodrigues(np.array([0.0, 0.0, math.radians(roll)]))[0])
    rotation, place = turn @ pose[0], turn @ pose[1]
    # a point of the board is place + rotation @ (u, v, 0); a ray meets it where [r1 r2 -ray] (u, v, t) = -place
    to_board = np.linalg.inv(np.stack([rotation[:, 0], rotation[:, 1], place], axis=1))
    u, v, w = np.moveaxis(rays @ to_board.T, -1, 0)
    rows, columns = texture.shape
    at_x = (u / w) * _TEXTURE_SQUARE + (columns - 1) / 2
    at_y = (v / w) * _TEXTURE_SQUARE + (rows - 1) / 2
    picture = cv2.remap(
        texture,
        at_x.astype(np.float32),
        at_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=[0.35],
    )
    size = picture.shape[1] // _SUPERSAMPLING, picture.shape[0] // _SUPERSAMPLING
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
