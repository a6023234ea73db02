"""Raw frames as DNG files (Adobe, Digital Negative Specification 1.4): the mosaic untouched, and how to develop it.

Own tags on the writer of archival TIFF, since tifffile writes no EXIF directory (a DNG without its exposure time is not
worth much), and PiDNG has no wheels and takes files apart that it did not make.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.archival_tiff import TiffMetadata, exif_tags, picture_tags
from livemef.capture.files.colour_space import XYZ_FROM_LINEAR_SRGB
from livemef.capture.files.tiff_directory import (
    ASCII,
    BYTE,
    EXIF_IFD,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    Value,
    write_tiff,
)
from livemef.capture.frame import Mosaic

_D65 = 21
"""EXIF's number of the light source."""
_CFA, _LINEAR_RAW = 32803, 34892
_COLOURS = "RGB"
_ICC = 34675


@dataclass(frozen=True)
class DngCamera:
    """What a raw developer must know of the camera.

    name: unique model name. serial: "" = not written. matrix: 3 x 3, linear BGR as developed (white balanced) to linear
    BGR with sRGB's primaries, as a camera profile has it; None: not measured, and its colours are taken for sRGB's.
    """

    name: str
    serial: str = ""
    matrix: NDArray[np.float64] | None = None


def write_dng(path: Path, mosaic: Mosaic, camera: DngCamera, metadata: TiffMetadata) -> None:
    """Write a raw frame into a new file, on the disk when this returns. The metadata's ICC profile has no place in it.

    Raises CaptureError if the file is there already, cannot be written, or the mosaic is none that DNG knows.
    """
    if mosaic.order and (len(mosaic.order) != 4 or set(mosaic.order) != set(_COLOURS)):
        raise CaptureError(f"cannot write {path}: '{mosaic.order}' is no 2x2 cell of red, green and blue")
    tags: dict[int, tuple[int, Value]] = {
        number: tag for number, tag in picture_tags(metadata).items() if number != _ICC
    }
    tags |= {
        262: (SHORT, _CFA if mosaic.order else _LINEAR_RAW),
        50706: (BYTE, [1, 4, 0, 0]),  # DNGVersion
        50707: (BYTE, [1, 1, 0, 0]),  # DNGBackwardVersion
        50708: (ASCII, camera.name),  # UniqueCameraModel
        50713: (SHORT, [1, 1]),  # BlackLevelRepeatDim
        50714: (RATIONAL, mosaic.black),
        50717: (LONG, round(mosaic.white)),
    }
    if camera.serial:
        tags[50735] = (ASCII, camera.serial)
    if mosaic.order:
        tags |= _colour_tags(mosaic, camera.matrix)
    tags[EXIF_IFD] = (LONG, exif_tags(metadata))
    write_tiff(path, mosaic.values, tags)


def _colour_tags(mosaic: Mosaic, matrix: NDArray[np.float64] | None) -> dict[int, tuple[int, Value]]:
    to_camera = _camera_from_xyz(mosaic, matrix)
    neutral = to_camera @ XYZ_FROM_LINEAR_SRGB.sum(axis=1)
    return {
        33421: (SHORT, [2, 2]),  # CFARepeatPatternDim
        33422: (BYTE, [_COLOURS.index(colour) for colour in mosaic.order]),  # CFAPattern
        50710: (BYTE, [0, 1, 2]),  # CFAPlaneColor
        50711: (SHORT, 1),  # CFALayout: rectangular
        50721: (SRATIONAL, [float(value) for value in to_camera.ravel()]),  # ColorMatrix1
        50728: (RATIONAL, [float(value) for value in neutral / neutral.max()]),  # AsShotNeutral
        50778: (SHORT, _D65),  # CalibrationIlluminant1
    }


def _camera_from_xyz(mosaic: Mosaic, matrix: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """3 x 3, XYZ under D65 to the mosaic's red, green and blue, before white balance."""
    developed = np.eye(3) if matrix is None else np.asarray(matrix, np.float64)[::-1, ::-1]  # to red, green, blue
    gains = np.diag([1 / mosaic.red_gain, 1.0, 1 / mosaic.blue_gain])
    return np.asarray(gains @ np.linalg.inv(developed) @ np.linalg.inv(XYZ_FROM_LINEAR_SRGB), np.float64)
