"""Exposure fusion of Mertens, Kautz, Van Reeth (Pacific Graphics 2007), as in OpenCV: the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from livemef.capture.frame import Pixels
from livemef.fusion.methods.checks import check_exposures, to_uint8


def fuse(exposures: Sequence[Pixels]) -> Pixels:
    """`cv2.createMergeMertens()` with its defaults (contrast 1, saturation 1, well-exposedness 0).

    exposures: two or more HxWx3 BGR uint8 of one size, dark to bright. Returns HxWx3 BGR uint8. Raises FusionError
    for anything else.
    """
    check_exposures(exposures)
    return to_uint8(255.0 * np.asarray(cv2.createMergeMertens().process(list(exposures))))
