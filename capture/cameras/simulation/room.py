"""The default scene: a dim interior with a bright window.

Twelve stops lie between the corners of the room and the clouds outside; no single exposure holds them.

`room.png` is its radiance map, 1344x1024: 16-bit codes of log2(radiance), 64 to a stop, of linear light with sRGB's
primaries. A ray tracer rendered it once; `git log -- capture/cameras/simulation/tracing.py` finds that program.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.balloon import balloon
from livemef.capture.cameras.simulation.scene import Radiance, Scene, margin_of, swaying_window

_MAP = Path(__file__).with_name("room.png")
_CODES_PER_STOP = 64
_CODE_OF_ONE = 1024
"""The code of radiance 1.0."""
_HORIZON = 0.40
"""Height of the horizon, from the top, in the map and in what is cut from it."""


def room_scene(width: int, height: int, motion: float) -> Scene:
    """The room for a picture of width x height, with a slowly moving camera and a balloon that drifts through."""
    margin = margin_of(width)
    radiance = _cover(_room_radiance(), width + 2 * margin, height + 2 * margin)
    return Scene(radiance, swaying_window(width, motion), (balloon(width, height, motion),))


def _room_radiance() -> Radiance:
    """The whole map, height x width x 3."""
    codes: NDArray[np.uint16] = np.asarray(cv2.imdecode(np.fromfile(_MAP, np.uint8), cv2.IMREAD_UNCHANGED), np.uint16)
    radiance = np.exp2((np.arange(codes.max() + 1) - _CODE_OF_ONE) / _CODES_PER_STOP).astype(np.float32)
    return radiance[codes]


def _cover(radiance: Radiance, width: int, height: int) -> Radiance:
    """The largest part of the map with this aspect ratio, its horizon in place, scaled to width x height."""
    rows, columns = radiance.shape[:2]
    scale = max(width / columns, height / rows)
    part_rows, part_columns = min(rows, round(height / scale)), min(columns, round(width / scale))
    top, left = round((rows - part_rows) * _HORIZON), (columns - part_columns) // 2
    part = radiance[top : top + part_rows, left : left + part_columns]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (width, height), interpolation=interpolation), np.float32)
