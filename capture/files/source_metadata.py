"""What a fused picture takes over from the EXIF of its exposures: camera, lens, place and time, not the exposure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from livemef.capture.files.jpeg import read_jpeg_header
from livemef.capture.files.kinds import kind_of
from livemef.capture.files.png import read_png_header
from livemef.capture.files.tiff_directory import (
    ASCII,
    BYTE,
    EXIF_IFD,
    GPS_IFD,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Value,
)
from livemef.capture.files.webp import read_webp_header

_CAMERA = {270: ASCII, 271: ASCII, 272: ASCII, 315: ASCII, 33432: ASCII}
"""ImageDescription, Make, Model, Artist, Copyright."""
_DETAIL = {
    33437: RATIONAL,  # FNumber
    34855: SHORT,  # ISO
    36867: ASCII,  # DateTimeOriginal
    36868: ASCII,
    36880: ASCII,  # time zones
    36881: ASCII,
    36882: ASCII,
    37378: RATIONAL,  # ApertureValue
    37384: SHORT,  # LightSource
    37386: RATIONAL,  # FocalLength
    41989: SHORT,
    42032: ASCII,  # owner, serial numbers, lens
    42033: ASCII,
    42034: RATIONAL,
    42035: ASCII,
    42036: ASCII,
    42037: ASCII,
}
_OF_THE_FIRST = {36867, 36868, 36880, 36881, 36882}
"""Taken from the first exposure, since each has its own; all others are kept only where the exposures agree."""
_PLACE = {
    0: BYTE, 1: ASCII, 2: RATIONAL, 3: ASCII, 4: RATIONAL, 5: BYTE, 6: RATIONAL, 7: RATIONAL, 16: ASCII, 17: RATIONAL,
    18: ASCII, 27: UNDEFINED, 29: ASCII,
}  # fmt: skip
"""Of the GPS directory: version, position, altitude, time, direction, datum, date."""
_LONGEST_TEXT = 1000
"""So that all of it fits into one segment of a JPEG, of 64 KiB."""
Entries = dict[int, tuple[int, Value]]
_REQUIRED_OF_A_PLACE: Entries = {0: (BYTE, [2, 3, 0, 0])}
"""GPSVersionID."""


def kept_exif(files: Sequence[Path]) -> Entries:
    """Tags for a picture made of these exposures, with EXIF and GPS directories in them where there are any.

    Damaged and unreadable EXIF counts as none; never raises.
    """
    found = [_directories(file) for file in files]
    whole = _agreed([one[0] for one in found], _CAMERA)
    for number, place, kinds in ((EXIF_IFD, 1, _DETAIL), (GPS_IFD, 2, _PLACE)):
        inner = _agreed([one[place] for one in found], kinds)
        if inner and number == GPS_IFD:
            inner = _REQUIRED_OF_A_PLACE | inner
        if inner:
            whole[number] = (LONG, inner)
    return whole


def _agreed(directories: Sequence[Mapping[int, Any]], kinds: Mapping[int, int]) -> Entries:
    kept: Entries = {}
    for number, kind in kinds.items():
        values = [_value(kind, one[number]) for one in directories if number in one]
        same = len(values) == len(directories) and all(value == values[0] for value in values)
        if values and values[0] is not None and (same or number in _OF_THE_FIRST):
            kept[number] = (kind, values[0])
    return kept


def _value(kind: int, value: Any) -> Value | None:
    """As the writer takes it; None where it does not fit the tag's type."""
    try:
        if kind == ASCII:
            text = str(value).strip("\0 ")
            return text if text and text.isascii() and len(text) <= _LONGEST_TEXT else None
        if kind in (BYTE, UNDEFINED):
            return bytes(value)
        numbers = [float(one) for one in (value if isinstance(value, tuple) else (value,))]
        if not numbers or not all(math.isfinite(one) and 0 <= one < 2**31 for one in numbers):
            return None
        if kind == SHORT:
            return [int(one) for one in numbers] if max(numbers) < 65536 else None
        return numbers
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _directories(file: Path) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
    """First, EXIF and GPS directory of a file."""
    from PIL import Image

    exif = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            block = _block(file.read_bytes())
            if not block:
                return {}, {}, {}
            exif.load(block)
            return dict(exif), dict(exif.get_ifd(EXIF_IFD)), dict(exif.get_ifd(GPS_IFD))
        except Exception:  # Pillow raises nearly anything on damaged metadata
            return {}, {}, {}


def _block(data: bytes) -> bytes:
    kind = kind_of(data)
    if kind == "jpeg":
        return read_jpeg_header(data).exif
    if kind == "png":
        return read_png_header(data).exif
    if kind == "webp":
        return read_webp_header(data).exif
    return data if kind in ("tiff", "raw") else b""
