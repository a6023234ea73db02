"""JPEG (ITU-T T.81): what the headers of a file or a camera's frame say, and decoding that refuses damaged data."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.frame import Pixels

MOST_SCANS = 100
"""A progressive JPEG has about ten; thousands cost seconds of decoding for a few kilobytes."""

_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""A marker that ends entropy-coded data: not a stuffed 0xFF00, and no restart marker (D0..D7)."""
_SOI, _EOI, _SOS, _DHT, _TEM = 0xD8, 0xD9, 0xDA, 0xC4, 0x01
_APP1, _APP2 = 0xE1, 0xE2
_PROCESSES = {
    0xC0: "baseline",
    0xC1: "extended",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical",
    0xC9: "arithmetic",
    0xCA: "progressive arithmetic",
    0xCB: "lossless arithmetic",
    0xCD: "hierarchical arithmetic",
    0xCE: "hierarchical arithmetic",
    0xCF: "hierarchical arithmetic",
    0xF7: "JPEG-LS",
}
READABLE_PROCESSES = frozenset({"baseline", "extended", "progressive", "arithmetic", "progressive arithmetic"})
_EXIF, _ICC, _XMP = b"Exif\0\0", b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0"
_PADDING = re.compile(r"\b([1-9]|1[0-6]) extraneous bytes before marker 0xd[0-9]$")
"""libjpeg's warning of up to 16 bytes before a restart or end mark: many USB cameras pad so in every good frame."""
_ZERO_RUN = 16
"""So many zero bytes in a row are no picture, unless the Huffman code of only zeros is that of "end of block"."""


@dataclass(frozen=True)
class JpegHeader:
    """What the marker segments of a JPEG say. Sizes in pixels; 0 where there is no frame header.

    process: "baseline", "progressive", ...; precision: bits a sample. exif: APP1 after its "Exif" mark; icc: the
    profile, its parts joined; xmp: the packet. end: bytes up to and with the end mark. fault: why the data cannot be a
    whole picture, in a few words; None if nothing is wrong with the structure (the coded data may still be damaged).
    """

    width: int = 0
    height: int = 0
    precision: int = 0
    components: int = 0
    process: str = ""
    scans: int = 0
    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    end: int = 0
    fault: str | None = None


@dataclass
class _Walk:
    """What has been seen while walking the segments.

    sampling: (h, v) of each component. tables: for each AC table, whether its code of only zeros is "end of block".
    zero_run: are there long runs of zeros in the coded data? coded: its bytes.
    """

    header: dict[str, object] = field(default_factory=dict)
    sampling: list[tuple[int, int]] = field(default_factory=list)
    icc: dict[int, bytes] = field(default_factory=dict)
    tables: list[bool] = field(default_factory=list)
    zero_run: bool = False
    scans: int = 0
    coded: int = 0


def is_jpeg(data: bytes | memoryview) -> bool:
    """Do the bytes begin as a JPEG does?"""
    return bytes(data[:3]) == b"\xff\xd8\xff"


def read_jpeg_header(data: bytes | memoryview) -> JpegHeader:
    """Walk all segments and scans up to the end mark, without decoding; never raises.

    `fault` is set for data that is cut short, holds a second picture before the end of the first, has more than
    `MOST_SCANS` scans, or holds less coded data than its size needs at the least (a bit a block): a small file that
    claims a huge picture.
    """
    walk, end = _Walk(), 0
    fault: str | None = "truncated (the JPEG ends before its end mark)"
    position = 2
    while match := _MARKER.search(data, position):
        code, start = match[1][0], match.end()
        if walk.scans and start > position:
            _note_coded(walk, data, position, match.start())
        position = start
        if code == _EOI:
            end, fault = position, _fault_of(walk)
            break
        if code == _SOI:
            fault = "damaged (a second JPEG begins before the end of the first)"
            break
        if code == _TEM:
            continue
        length = struct.unpack_from(">H", data, position)[0] if position + 2 <= len(data) else 0
        if length < 2 or position + length > len(data):
            break
        _note_segment(walk, code, bytes(data[position + 2 : position + length]))
        position += length
        if walk.scans > MOST_SCANS:
            fault = f"has more than {MOST_SCANS} scans"
            break
    return JpegHeader(**walk.header, scans=walk.scans, icc=_joined(walk.icc), end=end, fault=fault)  # type: ignore[arg-type]


def _note_segment(walk: _Walk, code: int, body: bytes) -> None:
    if code in _PROCESSES and len(body) >= 6:
        precision, height, width, components = struct.unpack_from(">BHHB", body)
        walk.header |= {
            "precision": precision,
            "height": height,
            "width": width,
            "components": components,
            "process": _PROCESSES[code],
        }
        walk.sampling = [(body[at] >> 4, body[at] & 15) for at in range(7, min(len(body), 6 + 3 * components), 3)]
    elif code == _DHT:
        walk.tables += _zeros_end_blocks(body)
    elif code == _SOS:
        walk.scans += 1
    elif code == _APP1 and body.startswith(_EXIF):
        walk.header.setdefault("exif", body[len(_EXIF) :])
    elif code == _APP1 and body.startswith(_XMP):
        walk.header.setdefault("xmp", body[len(_XMP) :])
    elif code == _APP2 and body.startswith(_ICC) and len(body) > 14:
        walk.icc.setdefault(body[12], body[14:])


def _note_coded(walk: _Walk, data: bytes | memoryview, start: int, end: int) -> None:
    walk.coded += end - start
    walk.zero_run = walk.zero_run or bytes(_ZERO_RUN) in bytes(data[start:end])


def _zeros_end_blocks(tables: bytes) -> list[bool]:
    """For each AC table of a DHT segment: is its first symbol, whose code is only zeros, "end of block" (0)?"""
    at, found = 0, []
    while at + 18 <= len(tables):
        if tables[at] >> 4:
            found.append(tables[at + 17] == 0)
        at += 17 + sum(tables[at + 1 : at + 17])
    return found


def _fault_of(walk: _Walk) -> str | None:
    width, height, process = (walk.header.get(name, 0) for name in ("width", "height", "process"))
    if not walk.header or not walk.scans:
        return "damaged (the JPEG holds no picture)"
    if not isinstance(width, int) or not isinstance(height, int) or not width or not height:
        return "damaged (the JPEG gives no size)"
    bits_a_block = 1 / 64 if "arithmetic" in str(process) else 1
    if process in READABLE_PROCESSES and 8 * walk.coded < bits_a_block * _blocks(width, height, walk.sampling):
        return f"damaged (too little data for a JPEG of {width}x{height})"
    # one scan of all components: a run of zeros also meets blocks of the table where zeros are no end, as of Annex K's
    if process == "baseline" and walk.scans == 1 and walk.zero_run and not (walk.tables and all(walk.tables)):
        return "damaged (part of the JPEG's data is zero)"
    return None


def _blocks(width: int, height: int, sampling: list[tuple[int, int]]) -> int:
    """Blocks of 8x8 samples in all components, without the padding of the last ones."""
    if not sampling or not all(h and v for h, v in sampling):
        return 0
    most_h, most_v = max(h for h, _ in sampling), max(v for _, v in sampling)
    return sum(-(-width * h // (8 * most_h)) * -(-height * v // (8 * most_v)) for h, v in sampling)


def _joined(parts: dict[int, bytes]) -> bytes:
    return b"".join(parts[number] for number in sorted(parts))


def decode_jpeg(data: bytes | memoryview, header: JpegHeader, out: Pixels | None = None) -> Pixels:
    """The picture of an 8-bit JPEG of one or three components as BGR uint8, height x width x 3; not rotated.

    out: memory for it, packed and of its size; None = new memory. Raises CaptureError for damaged data, in a few words.
    What leaves the rest a valid picture (a changed value, some tens of bytes lost) is not found: JPEG has no checksum.
    """
    return _decoded(data, header, "BGR", 3, out)


def decode_cmyk(data: bytes | memoryview, header: JpegHeader) -> Pixels:
    """Amounts of ink (0..255) of a JPEG of four components, height x width x 4. Raises CaptureError for damaged data.

    They are stored inverted by Adobe's custom, which everybody follows.
    """
    return np.asarray(255 - _decoded(data, header, "CMYK", 4))


def _decoded(
    data: bytes | memoryview, header: JpegHeader, colours: str, samples: int, out: Pixels | None = None
) -> Pixels:
    import simplejpeg

    if header.fault:
        raise CaptureError(header.fault)
    pixels = np.empty((header.height, header.width, samples), np.uint8) if out is None else out
    try:
        simplejpeg.decode_jpeg(data[: header.end], colorspace=colours, buffer=pixels)
    except ValueError as error:
        # libjpeg goes on after a warning, and its first one is reported: by then the picture is whole in the buffer
        if not _PADDING.search(str(error)):
            raise CaptureError(f"damaged ({str(error).removeprefix('Corrupt JPEG data: ')})") from None
    return pixels


def decode_twelve_bits(data: bytes | memoryview, header: JpegHeader) -> Pixels:
    """The picture of a 12-bit JPEG as BGR uint16 over the full range, height x width x 3; needs imagecodecs.

    Raises CaptureError, in a few words.
    """
    try:
        import imagecodecs
    except ImportError:
        raise CaptureError(
            "is a 12-bit JPEG: pip install 'livemef[formats]' to read it, or convert it to 16-bit PNG or TIFF"
        ) from None
    try:
        samples = np.asarray(imagecodecs.jpeg8_decode(bytes(data[: header.end])))
    except (RuntimeError, ValueError) as error:
        raise CaptureError(f"damaged 12-bit JPEG ({' '.join(str(error).split())[:120]})") from None
    if samples.dtype != np.uint16 or samples.shape[:2] != (header.height, header.width):
        raise CaptureError("is a 12-bit JPEG that is not read: convert it to 16-bit PNG or TIFF")
    wide = ((np.minimum(samples, 4095).astype(np.uint32) * 65535 + 2047) // 4095).astype(np.uint16)
    colour = wide[..., None].repeat(3, axis=2) if wide.ndim == 2 else wide[..., 2::-1]
    return np.ascontiguousarray(colour)
