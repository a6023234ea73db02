"""Which way up the pictures of one bracket are, where their EXIF disagrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import Picture, upright
from livemef.capture.frame import Pixels

_SIDE = 48
"""Pictures are compared at so many pixels a side."""
_CLEARLY = 0.1
"""By so much one reading of the orientations must correlate better than the other to be taken."""


def agreed_orientations(files: Sequence[Path], pictures: Sequence[Picture]) -> tuple[list[int], list[str]]:
    """The EXIF orientation (1 to 8) to apply to each picture of a scene, and what a person should know of it.

    Where they are not all the same, the pixels decide: a camera that looks down at a table guesses wrong for single
    frames (then one orientation holds for all: the most frequent, else the lowest number), a program that turned some
    of the pictures wrote what is true. Raises CaptureError where neither reading makes the pictures alike.
    """
    own = [picture.exif.orientation for picture in pictures]
    if len(set(own)) == 1:
        return own, []
    counts = Counter(own)
    common = min(counts, key=lambda orientation: (-counts[orientation], orientation))
    as_told = _likeness([upright(p.pixels, turn) for p, turn in zip(pictures, own, strict=True)])
    as_one = _likeness([upright(picture.pixels, common) for picture in pictures])
    found = ", ".join(f"{file.name} {turn}" for file, turn in zip(files, own, strict=True))
    if as_one > as_told + _CLEARLY:
        return [common] * len(own), [
            f"EXIF orientations disagree ({found}), the pictures do not: {common} is used for all"
        ]
    if as_told > as_one + _CLEARLY:
        return own, []
    raise CaptureError(f"EXIF orientations disagree ({found}): make them one, for instance exiftool -n -Orientation=1")


def _likeness(pictures: Sequence[Pixels]) -> float:
    """The least rank correlation (-1..1) of the first picture's lightness with another's; -1 if the sizes differ."""
    if len({picture.shape for picture in pictures}) > 1:
        return -1.0
    ranks = [_ranks(picture) for picture in pictures]
    return min(float(np.corrcoef(ranks[0], other)[0, 1]) if np.ptp(other) else 0.0 for other in ranks[1:])


def _ranks(pixels: Pixels) -> NDArray[np.float64]:
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64).mean(axis=2).round(3)
    _, places = np.unique(small, return_inverse=True)
    return np.asarray(places, np.float64).reshape(-1)
