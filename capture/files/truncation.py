"""Is this picture file whole? Decoders fill what is missing with grey and only mutter; here it is found out first."""

from __future__ import annotations

import re
import struct
import zlib

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""A marker that ends entropy-coded data: not a stuffed 0xFF00, and no restart marker (D0..D7)."""


def truncation(data: bytes) -> str | None:
    """What is broken about the encoded picture `data`, in a few words; None if nothing, or if the format is not known.

    PNG: chunk lengths and checksums up to IEND. JPEG: segments and scans up to EOI. WebP: the length in its header.
    (TIFF needs no look: its decoder refuses what is missing.)
    """
    if not data:
        return "the file is empty"
    if data.startswith(_PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _png(data: bytes) -> str | None:
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return f"damaged (checksum of the PNG chunk at byte {position} does not match)"
        if kind == b"IEND":
            return None
        position = end + 4
    return "truncated (the PNG ends before its end mark)"


def _jpeg(data: bytes) -> str | None:
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        code, position = match[1][0], match.end()
        if code == 0xD9:
            return None
        if code == 0x01 or code == 0xD8:
            continue
        if position + 2 > len(data):
            break
        position += struct.unpack_from(">H", data, position)[0]
    return "truncated (the JPEG ends before its end mark)"


def _webp(data: bytes) -> str | None:
    declared = struct.unpack_from("<I", data, 4)[0] + 8
    return None if len(data) >= declared else "truncated (the WebP is shorter than its header says)"
