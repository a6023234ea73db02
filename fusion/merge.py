"""Linear merge: exposures of a still scene become one picture of its light, without tone mapping.

Each pixel is the mean of what the exposures say of its light, weighted by exposure (a longer one has less noise) and by
how far it is from clipping; after Debevec and Malik, "Recovering High Dynamic Range Radiance Maps from Photographs"
(SIGGRAPH 1997), with the weights of a sensor that is limited by photon noise. Nothing is aligned: camera and scene must
stand still. What moved is counted, not mended.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.correction import SRGB, CameraCorrection
from livemef.fusion.errors import FusionError

Light = NDArray[np.float32]
"""Height x width x 3, BGR, linear; may exceed 1 and, from noise about black, be below 0."""

CLIP_START, CLIP_END = 0.85, 0.95
"""Codes, over the highest, between which an exposure's weight falls from full to none: no seam where it clips."""
LEAST_WEIGHT = 1e-6
"""Of the darkest exposure where it clips: then its white is the best that is known."""
SAMPLE_LINES = 180
"""Lines of the small pictures in which the exposures are compared."""
SEEN = 0.02, 0.8
"""Codes, over the highest, between which a small pixel counts in that comparison."""
DISAGREES = 0.25
"""Relative difference in light of one place from which two exposures disagree there."""


@dataclass(frozen=True)
class Comparison:
    """Two neighbouring exposures, compared where both show something.

    stated: exposure of the brighter over that of the darker, as given; measured: the same from the pictures' light, nan
    where too little is seen in both. disagreeing: share of the compared places, 0..1, whose light differs by more than
    a quarter from what the measured ratio says: something moved there, or the response is wrong.
    """

    stated: float
    measured: float
    disagreeing: float


@dataclass(frozen=True)
class Merged:
    """The merged light; 1.0 is white at the geometric mean of the exposures.

    clipped: share of the pixels, 0..1, that clip in the darkest exposure: their light is only known to be higher.
    comparisons: neighbours, darkest first.
    """

    light: Light
    clipped: float
    comparisons: tuple[Comparison, ...]


class LinearMerge:
    """A merge in running sums: memory does not grow with the number of frames."""

    def __init__(self, exposures: Sequence[float], correction: CameraCorrection = SRGB) -> None:
        """exposures: exposure time times gain of each, in any unit, darkest first; each greater than the one before.

        Raises FusionError for fewer than two, exposures that do not rise, or a colour matrix without a grey.
        """
        rises = all(darker < brighter for darker, brighter in itertools.pairwise(exposures))
        if len(exposures) < 2 or not rises or exposures[0] <= 0 or not math.isfinite(exposures[-1]):
            raise FusionError(f"a merge needs two exposures or more, each longer than the one before, not {exposures}")
        self._exposures = tuple(exposures)
        self._correction = correction
        _ = correction.neutral  # raises now, not with the first frame
        self._sum: Light | None = None
        self._weights: NDArray[np.float32] | None = None
        self._small: list[tuple[Light, NDArray[np.float32]] | None] = [None] * len(exposures)
        self._clipped: list[float] = []

    def add(self, index: int, pixels: Pixels) -> None:
        """Add a frame of exposure `index`: BGR, height x width x 3, uint8 or uint16, all of one size and dtype.

        Raises FusionError for a picture of another size.
        """
        if self._sum is not None and self._sum.shape != pixels.shape:
            raise FusionError(f"exposure {index} is {pixels.shape}, the ones before are {self._sum.shape}")
        codes = _highest_channel(pixels) * np.float32(1 / np.iinfo(pixels.dtype).max)
        # of the brighter exposures what clips has no weight
        self.add_light(index, self._correction.light(pixels, clips=index == 0), codes)

    def add_light(self, index: int, light: Light, codes: NDArray[np.float32]) -> None:
        """Add a frame whose light is known already, the sensor's errors undone.

        codes: height x width, of the brightest channel of each pixel as the camera delivered it, over the highest.
        """
        exposure = self._exposures[index]
        slope = np.float32(-1 / (CLIP_END - CLIP_START))
        weight = np.clip(codes * slope - np.float32(CLIP_END) * slope, LEAST_WEIGHT if index == 0 else 0, 1)
        if index == 0:
            self._clipped.append(float(np.count_nonzero(codes >= CLIP_END)) / codes.size)
        if self._small[index] is None:
            self._small[index] = _small(light * np.float32(1 / exposure), codes)
        if self._sum is None or self._weights is None:
            self._sum, self._weights = np.zeros_like(light), np.zeros_like(weight)
        # light over exposure, weighted by exposure times weight: the exposure cancels out of the sum of light
        cv2.accumulateProduct(light, cv2.merge([weight] * 3), self._sum)
        cv2.scaleAdd(weight, exposure, self._weights, self._weights)

    def result(self) -> Merged:
        """The picture of all frames so far. Raises FusionError while an exposure has none."""
        if self._sum is None or self._weights is None or any(small is None for small in self._small):
            raise FusionError("a merge needs a frame of each exposure")
        white = math.exp(sum(map(math.log, self._exposures)) / len(self._exposures))
        light = self._correction.finish(self._sum * (np.float32(white) / self._weights)[..., None])
        return Merged(light, sum(self._clipped) / len(self._clipped), self._comparisons())

    def _comparisons(self) -> tuple[Comparison, ...]:
        small = [picture for picture in self._small if picture is not None]
        ratios = [brighter / darker for darker, brighter in itertools.pairwise(self._exposures)]
        return tuple(_compared(*pair, ratio) for pair, ratio in zip(itertools.pairwise(small), ratios, strict=True))


def merge(exposures: Sequence[float], pictures: Sequence[Pixels], correction: CameraCorrection = SRGB) -> Merged:
    """Merge one picture of each exposure; arguments and errors as for LinearMerge."""
    running = LinearMerge(exposures, correction)
    for index, pixels in enumerate(pictures):
        running.add(index, pixels)
    return running.result()


def _highest_channel(pixels: Pixels) -> Pixels:
    """Of each pixel; in a third of the time of numpy's max over the last axis."""
    blue, green, red = cv2.split(pixels)
    return np.asarray(cv2.max(cv2.max(blue, green), red))


def _small(light: Light, codes: NDArray[np.float32]) -> tuple[Light, NDArray[np.float32]]:
    """Mean light of small cells, and the highest code in each."""
    height, width = codes.shape
    cell = max(1, min(height, width) // SAMPLE_LINES)
    shape = width // cell, height // cell
    cut = slice(0, shape[1] * cell), slice(0, shape[0] * cell)
    highest = codes[cut].reshape(shape[1], cell, -1).max(axis=1)  # along whole rows first: much faster than both axes
    highest = highest.reshape(shape[1], shape[0], cell).max(axis=2)
    return np.asarray(cv2.resize(light[cut], shape, interpolation=cv2.INTER_AREA), np.float32), highest


def _compared(
    darker: tuple[Light, NDArray[np.float32]], brighter: tuple[Light, NDArray[np.float32]], stated: float
) -> Comparison:
    luma = [light.mean(axis=2) for light, _ in (darker, brighter)]
    seen = (darker[1] > SEEN[0]) & (brighter[1] < SEEN[1]) & (luma[0] > 0) & (luma[1] > 0)
    if np.count_nonzero(seen) < 16:
        return Comparison(stated, math.nan, 0.0)
    quotients = luma[1][seen] / luma[0][seen]
    middle = float(np.median(quotients))
    disagreeing = float(np.mean(np.abs(quotients / middle - 1) > DISAGREES))
    return Comparison(stated, stated * middle, disagreeing)
