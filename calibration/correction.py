"""The corrections of a camera's profile that fusion applies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livemef.calibration.flat_field import vignetting_of
from livemef.calibration.profile import CameraProfile, load_profile, profile_and_sum
from livemef.fusion.correction import SRGB, CameraCorrection


def correction_of(profile: CameraProfile) -> CameraCorrection:
    """All of a profile that changes pixels: response (with black), flat field, colour matrix, lens."""
    flat, geometry = profile.flat, profile.geometry
    lens = geometry and (np.array(geometry.camera_matrix), np.array(geometry.distortion))
    return CameraCorrection(
        response=None if profile.response is None else np.array(profile.response.light),
        size=(profile.width, profile.height),
        transmission=None if flat is None else vignetting_of(flat, profile.height, profile.width).astype(np.float32),
        hot_pixels=() if flat is None else flat.hot_pixels,
        matrix=None if profile.colour is None else np.array(profile.colour.matrix),
        lens=lens or None,
    )


def correction_in_force(setting: str, correct: bool = True) -> CameraCorrection | None:
    """What the profile at a path changes in pixels; None for an empty path, where it is not wanted, or changes nothing.

    Raises CalibrationError as load_profile does.
    """
    if not setting or not correct:
        return None
    correction = correction_of(load_profile(Path(setting).expanduser()))
    return correction if correction.applied else None


def correction_and_sum(setting: str) -> tuple[CameraCorrection, str]:
    """What the profile at a path changes in pixels, and the SHA-256 of its file; SRGB and "" for an empty path.

    Raises CalibrationError as load_profile does.
    """
    if not setting:
        return SRGB, ""
    profile, digest = profile_and_sum(Path(setting).expanduser())
    return correction_of(profile), digest
