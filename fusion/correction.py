"""What a camera did to the light, undone: response, black level, vignetting, hot pixels, colour, lens.

The numbers are measured by `livemef calibrate`; this applies them, in linear light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError
from livemef.fusion.method.colour import decode

Values = NDArray[np.float64]

CLIPS = 0.95, 0.99
"""Codes, over the highest, between which a channel comes to show no more than that its light was at least so much."""


@dataclass(frozen=True)
class CameraCorrection:
    """How to get from a camera's codes to true light. What is None was not measured, and is left as it is.

    response: 3 x entries, linear light (1 = white) of blue, green and red at equally spaced codes 0..1; None: sRGB.
    size: width and height of the pictures that it holds for, None = any. transmission: height x width x 3, share of the
    light that reaches each pixel, above 0. hot_pixels: x, y of each. matrix: 3 x 3, linear BGR of the camera to linear
    BGR with sRGB's primaries. lens: camera matrix (3 x 3) and distortion (k1, k2, p1, p2, k3) of OpenCV's pinhole
    model.
    """

    response: Values | None = None
    size: tuple[int, int] | None = None
    transmission: NDArray[np.float32] | None = None
    hot_pixels: tuple[tuple[int, int], ...] = ()
    matrix: Values | None = None
    lens: tuple[Values, Values] | None = None

    @property
    def applied(self) -> tuple[str, ...]:
        """What is corrected, in words: some of response, flat field, hot pixels, colour, lens."""
        parts = {
            "response": self.response is not None,
            "flat field": self.transmission is not None,
            "hot pixels": bool(self.hot_pixels),
            "colour": self.matrix is not None,
            "lens": self.lens is not None,
        }
        return tuple(name for name, present in parts.items() if present)

    def check_size(self, pixels: NDArray[Any]) -> None:
        """Raise FusionError for a picture of another size than the correction was measured at."""
        height, width = pixels.shape[:2]
        if self.size not in (None, (width, height)):
            wanted = "x".join(map(str, self.size or ()))
            raise FusionError(f"the camera's profile was measured at {wanted}, the picture is {width}x{height}")

    def light(self, pixels: Pixels, clips: bool = False) -> NDArray[np.float32]:
        """Linear light, height x width x 3, of a picture (BGR, uint8 or uint16), with the sensor's errors undone.

        clips: raise channels that clip to what they have in a grey as bright as the pixel's brightest channel says.
        Else the colour matrix colours white that clips, since the channels do not clip at one brightness of a grey.
        Raises FusionError for a picture of another size than the correction was measured at.
        """
        self.check_size(pixels)
        tables = self.light_tables(int(np.iinfo(pixels.dtype).max) + 1)
        if pixels.dtype == np.uint8:
            light = np.asarray(cv2.LUT(pixels, np.ascontiguousarray(tables.T[:, None])), np.float32)
        else:
            light = np.stack([tables[channel][pixels[..., channel]] for channel in range(3)], axis=-1)
        return self.even(light, pixels if clips and self.matrix is not None else None)

    def even(self, light: NDArray[np.float32], clipping: Pixels | None = None) -> NDArray[np.float32]:
        """Linear light, height x width x 3, with vignetting and hot pixels undone; may overwrite its argument.

        clipping: the codes (BGR, uint8 or uint16) by which channels that clip are raised, see `light`; None = they are
        not. Raises FusionError for another size than the correction was measured at.
        """
        self.check_size(light)
        if self.transmission is not None:
            light /= self.transmission
        if clipping is not None:
            _make_neutral(light, clipping, np.asarray(self.neutral, np.float32))
        return _without(light, self.hot_pixels)

    def cropped(self, box: tuple[int, int, int, int]) -> CameraCorrection | None:
        """For pictures that are cut out of the camera's: left, top, right, bottom. None if a lens is corrected, which
        needs the whole picture.
        """
        if self.lens is not None:
            return None
        left, top, right, bottom = box
        transmission = None if self.transmission is None else self.transmission[top:bottom, left:right]
        hot = tuple((x - left, y - top) for x, y in self.hot_pixels if left <= x < right and top <= y < bottom)
        return replace(self, size=None, transmission=transmission, hot_pixels=hot)

    def finish(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        """Colour matrix and lens correction, which need be done once for a merge: linear BGR in and out."""
        if self.matrix is not None:
            light = np.asarray(cv2.transform(light, self.matrix.astype(np.float32)))
        if self.lens is not None:
            light = np.asarray(cv2.undistort(light, *self.lens))
        return light

    @property
    def neutral(self) -> Values:
        """Light of blue, green and red in a grey, the largest 1, before the colour matrix.

        Raises FusionError for a matrix that makes no grey of any light.
        """
        if self.matrix is None:
            return np.ones(3)
        regular = np.linalg.matrix_rank(self.matrix) == 3
        light = np.linalg.solve(self.matrix, np.ones(3)) if regular else np.zeros(3)
        if not light.min() > 0:
            raise FusionError("the profile's colour matrix gives no neutral grey: measure it again (calibrate colour)")
        return np.asarray(light / light.max(), np.float64)

    def light_tables(self, codes: int) -> NDArray[np.float32]:
        """Light of blue, green and red for each of so many codes, 3 x codes."""
        if self.response is None:
            return _srgb_tables(codes)
        places = np.linspace(0, 1, codes)
        knots = np.linspace(0, 1, self.response.shape[1])
        return np.stack([np.interp(places, knots, table) for table in self.response]).astype(np.float32)


SRGB = CameraCorrection()
"""Nothing measured: the codes are taken for sRGB."""
LINEAR = CameraCorrection(response=np.array([[0.0, 1.0]] * 3))
"""Codes in proportion to light, as raw developers write them when asked for no curve."""


def srgb_response() -> tuple[tuple[float, ...], ...]:
    """Light of blue, green and red at equally spaced sRGB codes, as KnownCamera has it: of corrected pictures."""
    light = tuple(float(value) for value in decode(np.linspace(0, 1, 256)))
    return light, light, light


@lru_cache(maxsize=2)
def _srgb_tables(codes: int) -> NDArray[np.float32]:
    return np.stack([decode(np.linspace(0, 1, codes))] * 3).astype(np.float32)


def _make_neutral(light: NDArray[np.float32], pixels: Pixels, neutral: NDArray[np.float32]) -> None:
    """Raise channels that clip, in place; see CameraCorrection.light. neutral: light of each channel in a grey."""
    highest, (start, end) = float(np.iinfo(pixels.dtype).max), CLIPS
    blue, green, red = cv2.split(pixels)
    rows, columns = np.nonzero(cv2.max(cv2.max(blue, green), red) >= start * highest)
    found = light[rows, columns]
    grey = (found / neutral).max(axis=1, keepdims=True) * neutral
    share = np.clip((pixels[rows, columns] / np.float32(highest) - start) / (end - start), 0, 1)
    light[rows, columns] = found + share * (grey - found)


def _without(light: NDArray[np.float32], hot_pixels: tuple[tuple[int, int], ...]) -> NDArray[np.float32]:
    """Hot pixels, and those next to them into which demosaicking has carried them, take the mean of what surrounds."""
    if not hot_pixels:
        return light
    height, width = light.shape[:2]
    sound = np.ones((height, width), np.float32)
    for x, y in hot_pixels:
        sound[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0
    around = cv2.boxFilter(light * sound[..., None], -1, (5, 5), normalize=False)
    count = cv2.boxFilter(sound, -1, (5, 5), normalize=False)
    replaced = (sound == 0) & (count > 0)
    light[replaced] = around[replaced] / count[replaced][:, None]
    return light
