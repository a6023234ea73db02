"""Generated exposures for timing: a bracket, and the brackets of a camera that pans."""

from __future__ import annotations

import re

import cv2
import numpy as np

from livemef.capture.frame import Pixels
from livemef.fusion.method import colour
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.motion.steadiness import Place
from livemef.tools.exits import UserError

DARKEST, BRIGHTEST = 0.15, 2.4
"""Light of the darkest and the brightest exposure: 4 EV apart."""
MOVE = (3, 2)
"""Shift of the camera from frame to frame, pixels right and down."""
STEPS = 6
"""Frames after which the camera pans back."""
LARGEST_SIDE = 16384
NOISE_CODES = 1.5
SQUARE = 0.05
"""Light of the square."""


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "WxH". Raises UserError."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (16 <= width <= LARGEST_SIDE and 16 <= height <= LARGEST_SIDE):
        raise UserError(f"--size {text!r}: give WIDTHxHEIGHT, each 16..{LARGEST_SIDE}, such as 1920x1080")
    return width, height


def lights(exposures: int) -> tuple[float, ...]:
    """Relative light of so many exposures, dark to bright."""
    return tuple(float(light) for light in np.geomspace(DARKEST, BRIGHTEST, exposures))


class PanningStream:
    """Sliding brackets of a camera that pans to and fro while a dark square moves on its own; noise changes from frame
    to frame.
    """

    def __init__(self, width: int, height: int, exposures: int) -> None:
        self._size, self._lights = (height, width), lights(exposures)
        rng = np.random.default_rng(1)
        light = _light(width + STEPS * MOVE[0], height + STEPS * MOVE[1], rng)
        self._scenes = [[_exposed(light, factor, rng) for _ in range(2)] for factor in self._lights]
        self._frame = 0
        self._newest = [(self._take(), self._frame) for _ in self._lights]

    def next(self) -> tuple[list[Pixels], Moments]:
        """The bracket (BGR uint8, H x W x 3, dark to bright) that the next frame completes, and what is known of it."""
        index = self._frame % len(self._lights)
        self._newest[index] = self._take(), self._frame
        place = Place(0, tuple(number for _, number in self._newest))
        return [pixels for pixels, _ in self._newest], Moments(self._lights, place=place)

    def _take(self) -> Pixels:
        index, visit = self._frame % len(self._lights), self._frame // len(self._lights)
        step = STEPS - abs(self._frame % (2 * STEPS) - STEPS)
        (right, down), (height, width) = MOVE, self._size
        scene = self._scenes[index][visit % 2]
        pixels = scene[down * step : down * step + height, right * step : right * step + width]
        self._frame += 1
        seen = pixels.copy()
        side, top, left = max(width, height) // 10, height // 3 + 4 * down * step, width // 4 + 4 * right * step
        seen[top : top + side, left : left + side] = np.rint(
            255 * colour.encode(np.array(SQUARE * self._lights[index]))
        )
        return seen


def _light(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    coarse = (rng.uniform(-5, 5, (9, 16, 1)) + rng.uniform(-0.8, 0.8, (9, 16, 3))).astype(np.float32)
    stops = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    stops += 0.4 * np.sin(0.7 * np.arange(width, dtype=np.float32))[:, None]
    return 0.2 * np.exp2(stops)


def _exposed(light: np.ndarray, factor: float, rng: np.random.Generator) -> Pixels:
    encoded = 255 * colour.encode(np.clip(factor * light, 0, 1))
    encoded += rng.normal(0, NOISE_CODES, encoded.shape[:2])[..., None]
    return np.clip(encoded, 0, 255).astype(np.uint8)
