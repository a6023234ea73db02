"""Steadiness of a fused sequence: pulsing of the whole picture, and flicker of still pixels.

Alternating exposures show their period in everything that depends on which of them is the newest: a difference between
frame t and the mean of its two neighbours has no part of slow changes, and all of an alternation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.method import colour

Plane = NDArray[np.float32]

STILL = 3 / 255
"""Encoded luma, mean of 3 x 3 pixels: a pixel that differs less from the frame before of its exposure stands still."""
BLOCKS = (8, 16)
"""Blocks down and across whose pulse is measured as well."""


@dataclass(frozen=True)
class Steadiness:
    """Of one sequence, all in L*.

    pulse: median over t of |mean L*(t) - mean of its two neighbours|. blocks: the mean of the same over 8 x 16 blocks.
    still: mean |second difference| of the pixels that stand still. all_pixels: of all. still_share: part of the pixels
    that stand still, 0..1. frames: fused frames that were judged.
    """

    pulse: float
    blocks: float
    still: float
    all_pixels: float
    still_share: float
    frames: int


def pulse(values: Sequence[float] | NDArray[np.floating]) -> float:
    """Median over t of |v(t) - (v(t - 1) + v(t + 1)) / 2|; of an array T x ... the mean over places. NaN for T < 3."""
    series = np.asarray(values, np.float64)
    if len(series) < 3:
        return float("nan")
    return float(np.median(np.abs(series[1:-1] - (series[:-2] + series[2:]) / 2), axis=0).mean())


def lightness(pixels: Pixels) -> Plane:
    """L* (0..100) of a picture, BGR uint8 or uint16."""
    return np.asarray(colour.lab_from_linear(colour.decode(colour.from_codes(pixels)))[0], np.float32)


class StillPixels:
    """Where the scene stands still, from the source frames of each exposure, in the order in which they were taken."""

    def __init__(self) -> None:
        self._before: dict[int, Plane] = {}
        self._still: deque[NDArray[np.bool_]] = deque(maxlen=3)

    def push(self, index: int, pixels: Pixels) -> NDArray[np.bool_] | None:
        """Take the newest frame, of exposure `index`. Returns the pixels (h x w) that stood still in it and the two
        frames before it; None until each of these has a predecessor.
        """
        grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32) * np.float32(1 / np.iinfo(pixels.dtype).max)
        luma = np.asarray(cv2.blur(grey, (3, 3)), np.float32)
        before = self._before.get(index)
        self._before[index] = luma
        if before is not None:
            self._still.append(np.abs(luma - before) < STILL)
        if len(self._still) < 3:
            return None
        return np.asarray(np.logical_and.reduce(list(self._still)), np.bool_)


class SteadinessMeter:
    """Measures a fused sequence frame by frame."""

    def __init__(self) -> None:
        self._last: deque[Plane] = deque(maxlen=3)
        self._means: list[float] = []
        self._blocks: list[Plane] = []
        self._sums = [0.0] * 4  # second differences of still pixels and their number; of all pixels and theirs

    def push(self, fused: Plane, still: NDArray[np.bool_] | None) -> None:
        """The L* of the next fused frame, and where the three last frames stood still (None: nothing is known)."""
        self._last.append(fused)
        self._means.append(float(fused.mean()))
        self._blocks.append(np.asarray(cv2.resize(fused, BLOCKS[::-1], interpolation=cv2.INTER_AREA), np.float32))
        if len(self._last) == 3 and still is not None:
            first, middle, last = self._last
            difference = np.abs(first - 2 * middle + last)
            new = (difference[still].sum(), still.sum(), difference.sum(), difference.size)
            self._sums = [old + float(more) for old, more in zip(self._sums, new, strict=True)]

    def result(self) -> Steadiness:
        """What was measured. NaN for what too few frames were seen of."""
        still, still_count, every, count = self._sums
        return Steadiness(
            pulse=pulse(self._means),
            blocks=pulse(np.array(self._blocks)) if self._blocks else float("nan"),
            still=still / still_count if still_count else float("nan"),
            all_pixels=every / count if count else float("nan"),
            still_share=still_count / count if count else float("nan"),
            frames=len(self._means),
        )


def summary(pulses: Sequence[float]) -> dict[str, float]:
    """Median, 90th percentile and maximum of the pulses of many sequences."""
    known = [value for value in pulses if np.isfinite(value)]
    if not known:
        return dict.fromkeys(("median", "p90", "max"), float("nan"))
    return dict(zip(("median", "p90", "max"), map(float, np.percentile(known, [50, 90, 100])), strict=True))
