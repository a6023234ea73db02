"""WebP (RFC 9649): what its chunks say, before anything is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class WebpHeader:
    """width, height in pixels; exif, icc: blocks as stored; fault: why this cannot be a whole picture, else None."""

    width: int = 0
    height: int = 0
    exif: bytes = b""
    icc: bytes = b""
    animated: bool = False
    fault: str | None = None


def is_webp(data: bytes) -> bool:
    """Do the bytes begin as a WebP does?"""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read_webp_header(data: bytes) -> WebpHeader:
    """Walk the chunks; never raises."""
    size = struct.unpack_from("<I", data, 4)[0] + 8
    if len(data) < size:
        return WebpHeader(fault="truncated (the WebP is shorter than its header says)")
    chunks: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= size:
        kind, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > size:
            return WebpHeader(fault="damaged (a chunk of the WebP is longer than the file)")
        chunks.setdefault(kind, data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    width, height = _size(chunks)
    fault = None if width and height else "damaged (the WebP holds no picture)"
    exif, icc = chunks.get(b"EXIF", b""), chunks.get(b"ICCP", b"")
    return WebpHeader(width, height, exif, icc, b"ANIM" in chunks, fault)


def _size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    extended, lossy, lossless = (chunks.get(kind, b"") for kind in (b"VP8X", b"VP8 ", b"VP8L"))
    if len(extended) >= 10:
        width, height = (int.from_bytes(extended[at : at + 3], "little") + 1 for at in (4, 7))
        return width, height
    if len(lossy) >= 10 and lossy[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", lossy, 6)
        return width & 0x3FFF, height & 0x3FFF
    if len(lossless) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0
