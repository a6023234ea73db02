"""The bytes of TIFF files with one directory and an EXIF directory, laid out so that they are written in one pass.

Own writer, since no library writes all that archives and DNG need: tifffile and OpenCV write no EXIF directory, and
Pillow has no 16-bit RGB. Sources: TIFF 6.0 (Adobe, 1992), EXIF 2.32 (CIPA DC-008).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, BYTE = 2, 3, 4, 5, 7, 10, 1
EXIF_IFD, GPS_IFD = 34665, 34853
UNCALIBRATED = 65535
"""EXIF's colour space of pixels that are not sRGB."""
Value = Union[str, bytes, int, float, Fraction, Sequence[int], Sequence[float], "Tags"]
Tags = Mapping[int, tuple[int, Value]]
"""Number: (type, value); a value that is a mapping is a directory of its own."""

HEADER = b"II*\0" + struct.pack("<I", 8)

ROWS_A_STRIP = 64
MOST_BYTES = 2**32 - 1
_ADOBE_DEFLATE = 8
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279


def write_tiff(path: Path, samples: NDArray[Any], tags: Tags) -> None:
    """Write a new file as `tiff_bytes` gives it, not compressed; on the disk when this returns.

    Raises CaptureError if the file is there already, cannot be written, or would be above 4 GiB (BigTIFF is no archival
    format).
    """
    try:
        data = tiff_bytes(samples, tags)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            for part in data:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CaptureError(f"cannot write {path}: {error.strerror}") from None
    except ValueError as error:
        raise CaptureError(f"cannot write {path}: {error}") from None


def tiff_bytes(samples: NDArray[Any], tags: Tags, deflate: int | None = None) -> list[bytes]:
    """A whole file in parts. samples: as they are, height x width, or x 3. deflate: level, None = not compressed.

    The tags of size, bits, samples, compression and strips are filled in. Raises ValueError above 4 GiB.
    """
    stored = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    height, width = stored.shape[:2]
    channels = stored.size // (height * width)
    strips = [stored[top : top + ROWS_A_STRIP] for top in range(0, height, ROWS_A_STRIP)]
    parts = [part.tobytes() if deflate is None else zlib.compress(_differences(part), deflate) for part in strips]
    sizes = [len(part) for part in parts]
    known = dict(tags) | {
        256: (LONG, width),
        257: (LONG, height),
        258: (SHORT, [8 * stored.dtype.itemsize] * channels),
        259: (SHORT, 1 if deflate is None else _ADOBE_DEFLATE),
        277: (SHORT, channels),
        _ROWS_PER_STRIP: (LONG, ROWS_A_STRIP),
        _STRIP_BYTES: (LONG, sizes),
        _STRIP_OFFSETS: (LONG, sizes),
    }
    if deflate is not None:
        known[317] = (SHORT, 2)  # predictor: differences along the rows
    start = -(-(8 + len(directory(known, 8))) // 16) * 16
    if start + sum(sizes) > MOST_BYTES:
        raise ValueError("above 4 GiB, which a TIFF file cannot be")
    known[_STRIP_OFFSETS] = (LONG, [start + sum(sizes[:place]) for place in range(len(sizes))])
    return [(HEADER + directory(known, 8)).ljust(start, b"\0"), *parts]


def _differences(rows: NDArray[Any]) -> bytes:
    """Each sample less the one to its left, modulo its range."""
    found = rows.copy()
    found[:, 1:] = rows[:, 1:] - rows[:, :-1]
    return found.tobytes()


def exif_block(tags: Tags) -> bytes:
    """A directory by itself, as JPEG, PNG and WebP embed it (without "Exif")."""
    return HEADER + directory(tags, 8)


def directory(tags: Tags, at: int) -> bytes:
    """An IFD and all that it points at, laid out from file position `at` on; a value that is a mapping is an IFD."""
    after = at + 2 + 12 * len(tags) + 4
    entries, beyond = b"", b""
    for number in sorted(tags):
        kind, value = tags[number]
        beyond += b"\0" * (len(beyond) % 2)  # values stand at even positions
        if isinstance(value, Mapping):
            entries += struct.pack("<HHII", number, LONG, 1, after + len(beyond))
            beyond += directory(value, after + len(beyond))
            continue
        count, data = _encoded(kind, value)
        if len(data) <= 4:
            entries += struct.pack("<HHI", number, kind, count) + data.ljust(4, b"\0")
            continue
        entries += struct.pack("<HHII", number, kind, count, after + len(beyond))
        beyond += data
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + beyond


def _encoded(kind: int, value: Value) -> tuple[int, bytes]:
    """Count and bytes of a tag's value."""
    if isinstance(value, str):
        data = value.encode("ascii", "replace") + b"\0"
        return len(data), data
    if isinstance(value, bytes):
        return len(value), value
    values: Sequence[Any] = value if isinstance(value, Sequence) else [value]
    if kind in (RATIONAL, SRATIONAL):
        fractions = [Fraction(number).limit_denominator(1_000_000) for number in values]
        form = "<II" if kind == RATIONAL else "<ii"
        return len(values), b"".join(struct.pack(form, part.numerator, part.denominator) for part in fractions)
    form = {SHORT: "H", BYTE: "B"}.get(kind, "I")
    return len(values), struct.pack(f"<{len(values)}{form}", *values)
