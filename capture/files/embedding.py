"""What a picture file says beside its pixels: ICC profile, EXIF and XMP, put into an encoded JPEG, PNG or WebP.

TIFF is not here: its metadata are tags, written with the pixels. Sources: EXIF 2.32 (CIPA DC-008), XMP part 3 (Adobe,
2020), PNG 3 (W3C), RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from livemef.capture.files.tiff_directory import (
    BYTE,
    EXIF_IFD,
    LONG,
    RATIONAL,
    SHORT,
    UNCALIBRATED,
    UNDEFINED,
    Tags,
    Value,
    exif_block,
)

_LONGEST_SEGMENT = 65533
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_PNG = b"XML:com.adobe.xmp\0\0\0\0\0"
_IHDR_END = 33
_EXIF, _XMP = 0x08, 0x04
"""Flags of VP8X."""


@dataclass(frozen=True)
class Embedded:
    """icc: profile of the pixels, b"" = none. exif: tags of the first directory, with EXIF and GPS directories in it.
    xmp: packet, b"" = none. srgb: the profile is that of sRGB.
    """

    icc: bytes = b""
    exif: Mapping[int, tuple[int, Value]] = field(default_factory=dict)
    xmp: bytes = b""
    srgb: bool = True


def with_metadata(data: bytes, suffix: str, size: tuple[int, int], embedded: Embedded) -> bytes:
    """An encoded JPEG, PNG or WebP (of width x height) with EXIF and XMP; its ICC profile is in it already."""
    exif = exif_block(_complete(embedded, suffix, size)) if embedded.exif else b""
    if not exif and not embedded.xmp:
        return data
    if suffix in (".jpg", ".jpeg"):
        return _jpeg(data, exif, embedded.xmp)
    return _png(data, exif, embedded.xmp) if suffix == ".png" else _webp(data, size, exif, embedded.xmp)


def tiff_tags(embedded: Embedded) -> Tags:
    """The same as tags of a TIFF file."""
    tags = dict(_complete(embedded, ".tif", (0, 0))) if embedded.exif else {}
    if embedded.xmp:
        tags[700] = (BYTE, embedded.xmp)
    if embedded.icc:
        tags[34675] = (UNDEFINED, embedded.icc)
    return tags


def _complete(embedded: Embedded, suffix: str, size: tuple[int, int]) -> Tags:
    """The tags with those that the standard requires for this kind of file."""
    tags = dict(embedded.exif)
    given = tags.get(EXIF_IFD, (LONG, {}))[1]
    inner = dict(given) if isinstance(given, Mapping) else {}
    inner |= {
        36864: (UNDEFINED, b"0232"),  # ExifVersion
        40960: (UNDEFINED, b"0100"),  # FlashpixVersion
        40961: (SHORT, 1 if embedded.srgb else UNCALIBRATED),  # ColorSpace
    }
    tags |= {274: (SHORT, 1), 282: (RATIONAL, 1), 283: (RATIONAL, 1), 296: (SHORT, 1)}  # upright; no unit known
    if suffix in (".jpg", ".jpeg"):
        tags |= {282: (RATIONAL, 72), 283: (RATIONAL, 72), 296: (SHORT, 2), 531: (SHORT, 1)}  # EXIF allows no less
        inner |= {37121: (UNDEFINED, b"\1\2\3\0"), 40962: (LONG, size[0]), 40963: (LONG, size[1])}
    return {**tags, EXIF_IFD: (LONG, inner)}


def _jpeg(data: bytes, exif: bytes, xmp: bytes) -> bytes:
    """After the JFIF segment, where there is one: segments of application data stand before all others.

    A block above 64 KiB does not fit into a segment and is left out: XMP of some 400 exposures.
    """
    at = 2
    if data[2:4] == b"\xff\xe0":
        at = 4 + struct.unpack_from(">H", data, 4)[0]
    bodies = [body for body, given in ((b"Exif\0\0" + exif, exif), (_XMP_IN_JPEG + xmp, xmp)) if given]
    segments = [
        b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in bodies if len(body) <= _LONGEST_SEGMENT
    ]
    return data[:at] + b"".join(segments) + data[at:]


def _png(data: bytes, exif: bytes, xmp: bytes) -> bytes:
    bodies = [b"eXIf" + exif] if exif else []
    if xmp:
        bodies.append(b"iTXt" + _XMP_IN_PNG + xmp)
    chunks = [struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in bodies]
    return data[:_IHDR_END] + b"".join(chunks) + data[_IHDR_END:]


def _webp(data: bytes, size: tuple[int, int], exif: bytes, xmp: bytes) -> bytes:
    chunks = data[12:]
    if chunks[:4] != b"VP8X":
        sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
        chunks = b"VP8X" + struct.pack("<I", 10) + bytes(4) + sides + chunks
    flags = chunks[8] | (_EXIF if exif else 0) | (_XMP if xmp else 0)
    chunks = chunks[:8] + bytes([flags]) + chunks[9:]
    for name, body in ((b"EXIF", exif), (b"XMP ", xmp)):
        if body:
            chunks += name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
