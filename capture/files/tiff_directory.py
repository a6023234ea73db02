"""The bytes of TIFF files with one directory and an EXIF directory, laid out so that they are written in one pass.

Own writer, since no library writes all that archives and DNG need: tifffile and OpenCV write no EXIF directory, and
Pillow has no 16-bit RGB. Sources: TIFF 6.0 (Adobe, 1992), EXIF 2.32 (CIPA DC-008).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, BYTE = 2, 3, 4, 5, 7, 10, 1
Value = str | bytes | int | float | Fraction | Sequence[int] | Sequence[float]
Tags = Mapping[int, tuple[int, Value]]
"""Number: (type, value)."""

ROWS_A_STRIP = 64
MOST_BYTES = 2**32 - 1
_EXIF_IFD = 34665
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279


def write_tiff(path: Path, samples: NDArray[Any], tags: Tags, exif: Tags) -> None:
    """Write a new file, on the disk when this returns: samples as they are (height x width, or x 3), tags, EXIF tags.

    The tags of size, bits, samples and strips are filled in. Raises CaptureError if the file is there already, cannot
    be written, or would be above 4 GiB (BigTIFF is no archival format).
    """
    stored = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    height, width = stored.shape[:2]
    channels, row = stored.size // (height * width), stored[0].nbytes
    strips = [min(ROWS_A_STRIP, height - top) * row for top in range(0, height, ROWS_A_STRIP)]
    bits = [8 * stored.dtype.itemsize] * channels
    known = dict(tags) | {256: (LONG, width), 257: (LONG, height), 258: (SHORT, bits), 277: (SHORT, channels)}
    known |= {_ROWS_PER_STRIP: (LONG, ROWS_A_STRIP), _STRIP_BYTES: (LONG, strips), _STRIP_OFFSETS: (LONG, strips)}
    start = -(-(8 + len(_directory(known, exif, 8))) // 16) * 16
    if start + sum(strips) > MOST_BYTES:
        raise CaptureError(f"cannot write {path}: above 4 GiB, which a TIFF for archives cannot be")
    known[_STRIP_OFFSETS] = (LONG, [start + sum(strips[:place]) for place in range(len(strips))])
    head = b"II*\0" + struct.pack("<I", 8) + _directory(known, exif, 8)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(head.ljust(start, b"\0"))
            file.write(stored.tobytes())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CaptureError(f"cannot write {path}: {error.strerror}") from None


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
    if kind in (RATIONAL, SRATIONAL):
        fractions = [Fraction(number).limit_denominator(1_000_000) for number in values]
        form = "<II" if kind == RATIONAL else "<ii"
        return len(values), b"".join(struct.pack(form, part.numerator, part.denominator) for part in fractions)
    form = {SHORT: "H", BYTE: "B"}.get(kind, "I")
    return len(values), struct.pack(f"<{len(values)}{form}", *values)
