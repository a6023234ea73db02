"""Linear merge of raw frames: averaged as the sensor gave them, black level included, and then developed once.

Developed pictures are cut off at black: where noise reaches below it, the mean of many is too bright (ink of L* 3.6
came out at 4.0 on a simulated camera). Raw frames are not, so a merge of them has no such bias; and the mean of an
exposure's frames needs demosaicking only once.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.raw_development import demosaic
from livemef.capture.frame import Mosaic, Pixels
from livemef.capture.srgb import encode
from livemef.fusion.correction import SRGB, CameraCorrection
from livemef.fusion.errors import FusionError
from livemef.fusion.merge import Light, LinearMerge, Merged

_CODES = 65535


class MosaicMerge:
    """A merge in running sums: memory does not grow with the number of frames."""

    def __init__(self, exposures: Sequence[float], correction: CameraCorrection = SRGB) -> None:
        """As for LinearMerge. Of the correction, the response is not used: raw values are in proportion to light."""
        self._merge = LinearMerge(exposures, correction)
        self._correction = correction
        self._sums: list[NDArray[np.float32] | None] = [None] * len(exposures)
        self._counts = [0] * len(exposures)
        self._like: list[Mosaic | None] = [None] * len(exposures)

    def add(self, index: int, mosaic: Mosaic) -> None:
        """Add a raw frame of exposure `index`; all are of one size, order, black and white.

        Raises FusionError for another one.
        """
        known = next((one for one in self._like if one is not None), mosaic)
        if _kind(mosaic) != _kind(known):
            raise FusionError(f"exposure {index} is a raw frame of {_kind(mosaic)}, the ones before are {_kind(known)}")
        total = self._sums[index]
        if total is None:
            total = self._sums[index] = np.zeros(mosaic.values.shape, np.float32)
        cv2.accumulate(mosaic.values, total)  # exact: 2^24 is above 64 frames of 16 bits
        self._counts[index] += 1
        self._like[index] = mosaic

    def result(self) -> Merged:
        """The picture of all frames so far. Raises FusionError while an exposure has none."""
        for index, (total, count, like) in enumerate(zip(self._sums, self._counts, self._like, strict=True)):
            if total is None or like is None:
                raise FusionError("a merge needs a frame of each exposure")
            pixels = _demosaicked(total, count, like)
            clipping = pixels if index == 0 and self._unbalanced(like) else None
            light = self._correction.even(_light(pixels, like), clipping)
            self._merge.add_light(index, light, _highest_codes(pixels, like))
        return self._merge.result()

    def _unbalanced(self, like: Mosaic) -> bool:
        """Whether white that clips would come out coloured."""
        return self._correction.matrix is not None or (like.red_gain, like.blue_gain) != (1.0, 1.0)


def _kind(mosaic: Mosaic) -> tuple[tuple[int, ...], str, float, float]:
    return mosaic.values.shape, mosaic.order, mosaic.black, mosaic.white


def _demosaicked(total: NDArray[np.float32], count: int, like: Mosaic) -> Pixels:
    """The mean frame, black level included; white is at the highest code of 16 bits."""
    mean = cv2.addWeighted(total, _CODES / like.white / count, total, 0, 0, dtype=cv2.CV_16U)
    return demosaic(np.asarray(mean), like.order)


def _light(pixels: Pixels, like: Mosaic) -> Light:
    """Linear, white balanced: 1 = white."""
    factor = _CODES / like.white
    black, span = like.black * factor, (like.white - like.black) * factor
    planes = [
        cv2.addWeighted(plane, gain / span, plane, 0, -black * gain / span, dtype=cv2.CV_32F)
        for plane, gain in zip(cv2.split(pixels), (like.blue_gain, 1.0, like.red_gain), strict=True)
    ]
    return np.asarray(cv2.merge(planes), np.float32)


def _highest_codes(pixels: Pixels, like: Mosaic) -> NDArray[np.float32]:
    """Of each pixel the highest sRGB code, 0..1, of its channels before white balance."""
    linear = (np.arange(_CODES + 1) * (like.white / _CODES) - like.black) / (like.white - like.black)
    table = encode(np.clip(linear, 0, 1)).astype(np.float32)
    blue, green, red = cv2.split(pixels)
    return np.asarray(table[cv2.max(cv2.max(blue, green), red)])
