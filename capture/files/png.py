"""PNG (W3C, third edition): what the chunks say, before anything is decoded."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field

from livemef.capture.files import colour_space as spaces
from livemef.capture.files.code_points import space_of_code_points
from livemef.capture.files.colour_space import ColourSpace, Curve
from livemef.capture.srgb import decode

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset({b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"eXIf", b"acTL"})
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by colour type."""
_MOST_DEFLATED = 1032
"""What deflate expands a byte to at the most."""
_LONGEST_TEXT = 1 << 24
_SRGB_GAMMA = (0.44, 0.47)
"""gAMA 1/2.2 is what encoders write for sRGB; other values mean what they say."""


@dataclass(frozen=True)
class PngHeader:
    """width, height in pixels; depth: bits a sample; colour_type: PNG's number.

    chunks: the colour chunks, EXIF and animation control by name. exif: the EXIF block, also from a text chunk.
    fault: why this cannot be a whole picture; None if nothing is wrong.
    """

    width: int = 0
    height: int = 0
    depth: int = 0
    colour_type: int = 0
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    exif: bytes = b""
    icc: bytes = b""
    fault: str | None = None


def read_png_header(data: bytes) -> PngHeader:
    """Walk all chunks up to IEND, their checksums included; never raises."""
    position, coded = len(SIGNATURE), 0
    chunks: dict[bytes, bytes] = {}
    texts: list[bytes] = []
    fault: str | None = "truncated (the PNG ends before its end mark)"
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            fault = f"damaged (checksum of the PNG chunk at byte {position} does not match)"
            break
        if kind == b"IEND":
            fault = None
            break
        if kind == b"IDAT":
            coded += length
        elif kind in _KEPT or kind == b"IHDR":
            chunks.setdefault(kind, data[position + 8 : end])
        elif kind in (b"tEXt", b"zTXt") and data[position + 8 : position + 24] == b"Raw profile type":
            texts.append(data[position + 8 : end])
        position = end + 4
    return _header(chunks, texts, coded, fault)


def _header(chunks: dict[bytes, bytes], texts: list[bytes], coded: int, fault: str | None) -> PngHeader:
    start = chunks.get(b"IHDR", b"")
    if len(start) != 13:
        return PngHeader(fault=fault or "damaged (the PNG has no header)")
    width, height, depth, colour_type = struct.unpack_from(">IIBB", start)
    needed = height * (1 + (width * depth * _SAMPLES.get(colour_type, 1) + 7) // 8)
    if fault is None and (not width or not height or colour_type not in _SAMPLES):
        fault = "damaged (the PNG gives no size)"
    elif fault is None and coded * _MOST_DEFLATED < needed:
        fault = f"damaged (too little data for a PNG of {width}x{height})"
    profiles = _raw_profiles(texts)
    exif = chunks.get(b"eXIf") or profiles.get("exif") or profiles.get("app1") or b""
    icc = _icc(chunks) or profiles.get("icc") or profiles.get("icm") or b""
    return PngHeader(width, height, depth, colour_type, chunks, exif, icc, fault)


def _icc(chunks: dict[bytes, bytes]) -> bytes:
    _, _, rest = chunks.get(b"iCCP", b"").partition(b"\0")
    return _inflated(rest[1:]) if rest else b""


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _LONGEST_TEXT)
    except zlib.error:
        return b"damaged"


def _raw_profiles(texts: list[bytes]) -> dict[str, bytes]:
    """ImageMagick's way of keeping EXIF and ICC in PNG: text chunks of hexadecimal digits, plain or deflated."""
    found: dict[str, bytes] = {}
    for text in texts:
        keyword, _, value = text.partition(b"\0")
        if value[:1] == b"\0":  # zTXt: the compression method
            value = _inflated(value[1:])
        match = re.match(rb"\s*\w+\s+(\d+)\s+([0-9a-fA-F\s]*)", value)
        if match:
            digits = b"".join(match[2].split())
            name = keyword.rpartition(b" ")[2].decode("latin-1").lower()
            found[name] = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())[: int(match[1][:9])]
    return found


def without_metadata(data: bytes) -> bytes:
    """The PNG with only the chunks that its pixels are made of: libpng prints what it thinks of the others."""
    kept, position = [data[: len(SIGNATURE)]], len(SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(data[position : position + 12 + length])
        position += 12 + length
    return b"".join(kept)


def png_colour_space(header: PngHeader) -> ColourSpace | None:
    """The space that cICP, or else sRGB, or else gAMA and cHRM name; None if they say nothing but sRGB.

    (An ICC profile stands between cICP and sRGB: it is the reader's to look at.) Raises ValueError, in words, for one
    that cannot be converted.
    """
    if b"cICP" in header.chunks:
        return _of_code_points(header.chunks[b"cICP"])
    if b"sRGB" in header.chunks or not {b"gAMA", b"cHRM"} & header.chunks.keys():
        return None
    curve: Curve = decode
    primaries, white = spaces.SRGB_PRIMARIES, spaces.D65
    gamma = struct.unpack(">I", header.chunks.get(b"gAMA", b"")[:4].rjust(4, b"\0"))[0] / 1e5
    if gamma and not _SRGB_GAMMA[0] <= gamma <= _SRGB_GAMMA[1]:
        if not 0.05 <= gamma <= 20:
            raise ValueError(f"its gamma of {gamma:g} is impossible")
        curve = spaces.power_curve(1.0 / gamma)
    if len(header.chunks.get(b"cHRM", b"")) == 32:
        x = [value / 1e5 for value in struct.unpack(">8I", header.chunks[b"cHRM"])]
        white, primaries = (x[0], x[1]), ((x[2], x[3]), (x[4], x[5]), (x[6], x[7]))
    return ColourSpace(
        f"PNG gamma {gamma:g}" if gamma else "PNG primaries", spaces.xyz_matrix(primaries, white), (curve,) * 3
    )


def _of_code_points(chunk: bytes) -> ColourSpace:
    if len(chunk) != 4:
        raise ValueError("its cICP chunk is damaged")
    primaries, transfer, matrix, full_range = chunk
    if matrix or full_range != 1:
        raise ValueError(f"its cICP colour {primaries}/{transfer}/{matrix}/{full_range} is not known here")
    return space_of_code_points(primaries, transfer)
