"""Picture files: read into BGR, written whole or not at all, and what EXIF says of their exposure."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.files.truncation import truncation
from livemef.capture.frame import Exposure, Pixels

PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp"})
SUFFIXES_16_BIT = frozenset({".png", ".tif", ".tiff"})

_EXIF_IFD = 0x8769
_EXPOSURE_TIME = 0x829A
_ISO = 0x8827


def read_picture(path: str | Path) -> Pixels:
    """The picture as BGR, height x width x 3, uint8 or uint16 as stored.

    PNG, TIFF, JPEG and WebP. Grey becomes three equal channels, alpha is dropped, EXIF orientation is applied.
    Raises CaptureError for a file that is missing, empty, truncated, damaged, no picture, or neither 8 nor 16 bits.
    """
    path = Path(path)
    data = _read_bytes(path)
    if problem := truncation(data):
        raise CaptureError(f"picture {path}: {problem}")
    with quiet_opencv():
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        except cv2.error:
            pixels = None
    if pixels is None:
        raise CaptureError(f"picture {path}: not a whole PNG, TIFF, JPEG or WebP picture")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise CaptureError(f"picture {path}: has {pixels.dtype} samples; 8- and 16-bit pictures can be used")
    return pixels


def write_picture(path: str | Path, pixels: Pixels, png_compression: int = 3) -> None:
    """Write a picture (BGR or grey, uint8 or uint16) in the format that the suffix names, atomically.

    PNG and TIFF keep 16 bits; JPEG (quality 95, full-resolution chroma) and WebP (lossless) take 16-bit pictures
    rounded to 8. Raises CaptureError for an unknown suffix or an unwritable place; nothing half-written is left.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise CaptureError(f"cannot write {path}: '{path.suffix}' names no known format: use one of {known}")
    if pixels.dtype == np.uint16 and suffix not in SUFFIXES_16_BIT:
        pixels = to_8_bit(pixels)
    encoded, data = cv2.imencode(suffix, pixels, _encoder_settings(suffix, png_compression))
    if not encoded:
        raise CaptureError(f"cannot write {path}: the {suffix} encoder refused a picture of {pixels.shape}")
    write_atomically(path, data.tobytes())


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it. Raises CaptureError if that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise CaptureError(f"cannot write {path}: {error.strerror}") from None


def to_8_bit(pixels: Pixels) -> Pixels:
    """A 16-bit picture (0..65535) rounded to the nearest 8-bit code (0..255); an 8-bit picture unchanged."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def exif_exposure(path: str | Path) -> Exposure | None:
    """Exposure time and ISO (100 = gain 1, also where it is not given) from EXIF; None if EXIF names no time.

    Raises CaptureError only if the file cannot be opened at all.
    """
    path = Path(path)
    _check_is_file(path)
    ifd = _exif(path)
    try:
        seconds = float(ifd[_EXPOSURE_TIME])
        iso = ifd.get(_ISO, 100)
        gain = float(iso[0] if isinstance(iso, Sequence) else iso) / 100.0
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not 0 < seconds < 86400 or not 0 < gain < 1e5:
        return None
    return Exposure(seconds * 1e6, gain)


def _exif(path: Path) -> dict[int, Any]:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return dict(image.getexif().get_ifd(_EXIF_IFD))
        except Exception:
            # Pillow raises nearly anything on damaged metadata; pixels are read elsewhere, EXIF is only a hint
            return {}


def _read_bytes(path: Path) -> bytes:
    _check_is_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise CaptureError(f"picture {path}: cannot be read: {error.strerror}") from None


def _check_is_file(path: Path) -> None:
    if not path.exists():
        raise CaptureError(f"picture {path}: there is no such file")
    if not path.is_file():
        raise CaptureError(f"picture {path}: is not a file")


def _encoder_settings(suffix: str, png_compression: int) -> list[int]:
    if suffix == ".png":
        return [cv2.IMWRITE_PNG_COMPRESSION, png_compression]
    if suffix in (".jpg", ".jpeg"):
        full_chroma = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        return [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full_chroma]
    if suffix == ".webp":
        return [cv2.IMWRITE_WEBP_QUALITY, 101]
    return []


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keeps OpenCV from printing what fails on stderr as well; the error that is raised says it once."""
    logging = getattr(cv2.utils, "logging", cv2)  # before OpenCV 4.13 these functions are cv2's own
    level = logging.getLogLevel()
    logging.setLogLevel(0)  # silent
    try:
        yield
    finally:
        logging.setLogLevel(level)
