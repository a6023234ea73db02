"""16-bit TIFF files for archives: baseline TIFF 6.0, one IFD, uncompressed, with ICC profile, XMP and EXIF.

Own writer, since no library writes all of these: tifffile and OpenCV write no EXIF directory, and Pillow has no 16-bit
RGB. Everything before the pixels is laid out first, so that a file is written in one pass. Sources: TIFF 6.0 (Adobe,
1992), EXIF 2.32 (CIPA DC-008), XMP part 3.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.frame import Pixels

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, BYTE = 2, 3, 4, 5, 7, 1
Value = str | bytes | int | float | Fraction | Sequence[int] | Sequence[float]
Tags = Mapping[int, tuple[int, Value]]
"""Number: (type, value)."""

ROWS_A_STRIP = 64
MOST_BYTES = 2**32 - 1
_EXIF_IFD, _XMP, _ICC = 34665, 700, 34675
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
UNCALIBRATED = 65535


@dataclass(frozen=True)
class TiffMetadata:
    """What goes into a file beside the pixels. Texts are 7-bit ASCII: other text belongs into the XMP packet.

    description: the object's id and role. software, make, model: as EXIF has them; "" = not written. taken: EXIF's form
    of the local time, "2026:01:02 03:04:05", with its offset "+00:00". icc, xmp: whole, b"" = none. exposure_us: of one
    exposure; for a picture made of several give composite = (used, taken) instead. pixels_per_mm: at the object, None =
    not known, and then none is stated.
    """

    description: str
    software: str
    taken: str
    offset: str
    make: str = ""
    model: str = ""
    icc: bytes = b""
    xmp: bytes = b""
    exposure_us: float | None = None
    composite: tuple[int, int] | None = None
    pixels_per_mm: float | None = None
    more_exif: Tags = field(default_factory=dict)


def write_archival_tiff(path: Path, pixels: Pixels, metadata: TiffMetadata) -> None:
    """Write a picture (BGR, height x width x 3, uint8 or uint16) into a new file, on the disk when this returns.

    Raises CaptureError if the file is there already, cannot be written, or would be above 4 GiB (BigTIFF is no archival
    format).
    """
    rgb = np.ascontiguousarray(pixels[..., ::-1], pixels.dtype.newbyteorder("<"))
    height, row = rgb.shape[0], rgb[0].nbytes
    strips = [min(ROWS_A_STRIP, height - top) * row for top in range(0, height, ROWS_A_STRIP)]
    tags = dict(_tags(rgb, metadata))
    tags |= {_ROWS_PER_STRIP: (LONG, ROWS_A_STRIP), _STRIP_BYTES: (LONG, strips), _STRIP_OFFSETS: (LONG, strips)}
    start = -(-(8 + len(_directory(tags, _exif(metadata), 8))) // 16) * 16
    if start + sum(strips) > MOST_BYTES:
        raise CaptureError(f"cannot write {path}: above 4 GiB, which a TIFF for archives cannot be")
    tags[_STRIP_OFFSETS] = (LONG, [start + sum(strips[:place]) for place in range(len(strips))])
    head = b"II*\0" + struct.pack("<I", 8) + _directory(tags, _exif(metadata), 8)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(head.ljust(start, b"\0"))
            file.write(rgb.tobytes())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CaptureError(f"cannot write {path}: {error.strerror}") from None


def _tags(rgb: Pixels, metadata: TiffMetadata) -> Tags:
    height, width = rgb.shape[:2]
    density = metadata.pixels_per_mm
    tags: dict[int, tuple[int, Value]] = {
        254: (LONG, 0),
        256: (LONG, width),
        257: (LONG, height),
        258: (SHORT, [8 * rgb.dtype.itemsize] * 3),
        259: (SHORT, 1),  # not compressed
        262: (SHORT, 2),  # RGB
        270: (ASCII, metadata.description),
        274: (SHORT, 1),
        277: (SHORT, 3),
        282: (RATIONAL, 1 if density is None else density * 10),
        283: (RATIONAL, 1 if density is None else density * 10),
        284: (SHORT, 1),
        296: (SHORT, 1 if density is None else 3),  # no unit, or the centimetre
        305: (ASCII, metadata.software),
        306: (ASCII, metadata.taken),
    }
    texts = {271: metadata.make, 272: metadata.model}
    tags |= {number: (ASCII, text) for number, text in texts.items() if text}
    if metadata.xmp:
        tags[_XMP] = (BYTE, metadata.xmp)
    if metadata.icc:
        tags[_ICC] = (UNDEFINED, metadata.icc)
    return tags


def _exif(metadata: TiffMetadata) -> Tags:
    tags: dict[int, tuple[int, Value]] = {
        36864: (UNDEFINED, b"0232"),
        36867: (ASCII, metadata.taken),
        36881: (ASCII, metadata.offset),
        40960: (UNDEFINED, b"0100"),
        40961: (SHORT, UNCALIBRATED),  # the ICC profile says it
    }
    if metadata.exposure_us is not None:
        tags[33434] = (RATIONAL, metadata.exposure_us / 1e6)
    if metadata.composite is not None:
        tags |= {42080: (SHORT, 3), 42081: (SHORT, list(metadata.composite[::-1]))}
    return tags | dict(metadata.more_exif)


def _directory(tags: Tags, exif: Tags | None, at: int) -> bytes:
    """An IFD and all that it points at, laid out from file position `at` on."""
    entries_of = dict(tags) | ({_EXIF_IFD: (LONG, 0)} if exif is not None else {})
    after = at + 2 + 12 * len(entries_of) + 4
    entries, beyond = b"", b""
    for number in sorted(entries_of):
        kind, value = entries_of[number]
        if number == _EXIF_IFD and exif is not None:
            beyond += b"\0" * (len(beyond) % 2)
            entries += struct.pack("<HHII", number, LONG, 1, after + len(beyond))
            beyond += _directory(exif, None, after + len(beyond))
            continue
        count, data = _encoded(kind, value)
        if len(data) <= 4:
            entries += struct.pack("<HHI", number, kind, count) + data.ljust(4, b"\0")
            continue
        beyond += b"\0" * (len(beyond) % 2)  # values stand at even positions
        entries += struct.pack("<HHII", number, kind, count, after + len(beyond))
        beyond += data
    return struct.pack("<H", len(entries_of)) + entries + struct.pack("<I", 0) + beyond


def _encoded(kind: int, value: Value) -> tuple[int, bytes]:
    """Count and bytes of a tag's value."""
    if isinstance(value, str):
        data = value.encode("ascii", "replace") + b"\0"
        return len(data), data
    if isinstance(value, bytes):
        return len(value), value
    values = value if isinstance(value, Sequence) else [value]
    if kind == RATIONAL:
        fractions = [Fraction(number).limit_denominator(1_000_000) for number in values]
        return len(values), b"".join(struct.pack("<II", part.numerator, part.denominator) for part in fractions)
    return len(values), struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
