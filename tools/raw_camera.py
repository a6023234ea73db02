"""What developers of raw files must know of a camera, for the verbs that store its raw frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livemef.calibration.profile import load_profile
from livemef.capture.cameras.base import CameraInfo
from livemef.capture.files.dng import DngCamera


def dng_camera(info: CameraInfo, profile: str) -> DngCamera:
    """The camera for DNG files, with the colour matrix of its profile. profile: a file, "" = none."""
    colour = load_profile(Path(profile).expanduser()).colour if profile else None
    matrix = None if colour is None else np.array(colour.matrix)
    return DngCamera(info.model or info.name, info.serial, matrix)
