"""16-bit TIFF files for archives: baseline TIFF 6.0, one IFD, uncompressed, with ICC profile, XMP and EXIF.

Sources: TIFF 6.0 (Adobe, 1992), EXIF 2.32 (CIPA DC-008), XMP part 3. Why not a library: see tiff_directory.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from livemef.capture.files.tiff_directory import (
    ASCII,
    BYTE,
    EXIF_IFD,
    LONG,
    RATIONAL,
    SHORT,
    UNCALIBRATED,
    UNDEFINED,
    Tags,
    Value,
    write_tiff,
)
from livemef.capture.frame import Pixels

_XMP, _ICC = 700, 34675
MM_PER_INCH = 25.4


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
    tags = {**picture_tags(metadata), 262: (SHORT, 2)}  # RGB
    write_tiff(path, pixels[..., ::-1], {**tags, EXIF_IFD: (LONG, exif_tags(metadata))})


def picture_tags(metadata: TiffMetadata) -> Tags:
    """The tags of the first directory, but for what the pixels say."""
    density = metadata.pixels_per_mm
    tags: dict[int, tuple[int, Value]] = {
        254: (LONG, 0),
        270: (ASCII, metadata.description),
        274: (SHORT, 1),
        282: (RATIONAL, 1 if density is None else density * MM_PER_INCH),
        283: (RATIONAL, 1 if density is None else density * MM_PER_INCH),
        284: (SHORT, 1),
        296: (SHORT, 1 if density is None else 2),  # no unit, or the inch, which archives' rules ask for
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


def exif_tags(metadata: TiffMetadata) -> Tags:
    """The tags of the EXIF directory."""
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
