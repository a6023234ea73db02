"""Picture files: read as sRGB in BGR order, whatever kind they are, and written whole or not at all."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files import colour_space
from livemef.capture.files.embedding import Embedded
from livemef.capture.files.encoding import JPEG_QUALITY, PICTURE_SUFFIXES, SRGB_ALONE, SUFFIXES_16_BIT, encode_picture
from livemef.capture.files.exif import NO_EXIF, Exif, comparable_exposures, read_exif
from livemef.capture.files.heif import heif_exif, read_heif
from livemef.capture.files.icc import cms_to_rgb, convert_to_srgb, matrix_space
from livemef.capture.files.jpeg import (
    READABLE_PROCESSES,
    decode_cmyk,
    decode_jpeg,
    decode_twelve_bits,
    read_jpeg_header,
)
from livemef.capture.files.kinds import kind_of
from livemef.capture.files.opencv_log import quiet_opencv
from livemef.capture.files.png import png_colour_space, read_png_header, without_metadata
from livemef.capture.files.raw import read_raw
from livemef.capture.files.tiff import raw_kind, read_tiff, tiff_exif
from livemef.capture.files.webp import read_webp_header
from livemef.capture.frame import Exposure, Pixels

__all__ = [
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "READABLE_SUFFIXES",
    "SUFFIXES_16_BIT",
    "Picture",
    "exif_exposure",
    "exif_exposures",
    "open_picture",
    "read_light",
    "read_picture",
    "to_8_bit",
    "upright",
    "write_atomically",
    "write_picture",
]

READABLE_SUFFIXES = PICTURE_SUFFIXES | {".heic", ".heif", ".hif", ".avif"}
"""Of the pictures of a folder; raw files (`kinds.RAW_SUFFIXES`) are read where a folder holds nothing else."""
MAX_PIXELS = 200_000_000
"""Width times height that is decoded unless the caller asks for more: 1.2 GB as 16-bit BGR."""
_KNOWN = "PNG, TIFF, JPEG or WebP"


@dataclass(frozen=True)
class Picture:
    """A picture file that was read.

    pixels: sRGB, BGR, height x width x 3, uint8 or uint16 as stored, as stored also in orientation: `upright` turns
    them. exif: as far as it was found. converted_from: the colour space that they were converted from, "" for sRGB.
    notes: what is odd about the file, such as further pages.
    """

    pixels: Pixels
    exif: Exif
    converted_from: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Decoded:
    """Pixels before their colours are converted: BGR, or CMYK where `cmyk`. space: what stands for a profile."""

    pixels: Pixels
    exif: Exif = NO_EXIF
    icc: bytes = b""
    space: colour_space.ColourSpace | None = None
    cmyk: bool = False
    notes: tuple[str, ...] = ()


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture as sRGB: BGR, height x width x 3, uint8 or uint16 as stored, upright.

    PNG, TIFF, JPEG, WebP and AVIF; raw files and HEIC with their extras. Grey becomes three equal channels, alpha is
    dropped, colour profiles and PNG's colour chunks are converted to sRGB, EXIF orientation is applied. Raises
    CaptureError for a file that is missing, empty, truncated, damaged, larger than `max_pixels`, or of a kind that
    cannot be read, which is named. The header is judged before anything is decoded.
    """
    picture = open_picture(path, max_pixels)
    return upright(picture.pixels, picture.exif.orientation)


def open_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture with what its file says of it. Raises CaptureError as `read_picture` does."""
    path = Path(path)
    data = _read_bytes(path)
    try:
        decoded = _decode(data, path.suffix.lower(), max_pixels)
        return _as_srgb(decoded)
    except CaptureError as error:
        raise CaptureError(f"picture {path}: {error}") from None


def read_light(path: str | Path) -> NDArray[np.float32]:
    """Linear light of a picture: BGR with sRGB's primaries, height x width x 3, upright.

    By its own colour profile where that is one of primaries and curves, without the detour over sRGB codes, which would
    cut off the colours outside: values may exceed 0..1. Raises CaptureError as `read_picture` does.
    """
    path = Path(path)
    data = _read_bytes(path)
    try:
        decoded = _decode(data, path.suffix.lower(), MAX_PIXELS)
        space = _own_space(decoded)
        pixels = _as_srgb(decoded).pixels if space is None else decoded.pixels
    except CaptureError as error:
        raise CaptureError(f"picture {path}: {error}") from None
    return colour_space.light_in(upright(pixels, decoded.exif.orientation), space or colour_space.SRGB)


def _own_space(decoded: _Decoded) -> colour_space.ColourSpace | None:
    """The space of the pixels as stored; None for CMYK and profiles made of tables."""
    if decoded.cmyk:
        return None
    if not decoded.icc:
        return decoded.space or colour_space.SRGB
    with suppress(struct.error, ValueError, IndexError):
        return matrix_space(decoded.icc)
    return None


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """The pixels turned and mirrored as EXIF's orientation (1 to 8) says; the same array for 1."""
    turned = pixels.transpose(1, 0, 2) if orientation > 4 else pixels
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return np.ascontiguousarray(turned)


def exif_exposure(path: str | Path) -> Exposure | None:
    """Exposure time and ISO (100 = gain 1, also where it is not given) from EXIF; None if EXIF names no time.

    Raises CaptureError only if the file cannot be opened at all.
    """
    return _exif_of(Path(path)).exposure


def exif_exposures(paths: Sequence[Path]) -> list[Exposure | None]:
    """The exposures of pictures that are compared with each other: apertures that differ are part of the gain."""
    return comparable_exposures([_exif_of(path) for path in paths])


def _exif_of(path: Path) -> Exif:
    data = _read_bytes(path)
    kind = kind_of(data)
    if kind == "png":
        return read_exif(read_png_header(data).exif)
    if kind == "jpeg":
        return read_exif(read_jpeg_header(data).exif)
    if kind == "webp":
        return read_exif(read_webp_header(data).exif) if len(data) > 12 else NO_EXIF
    if kind == "tiff":
        return tiff_exif(data)
    if kind in ("heif", "avif"):
        return heif_exif(data, kind)
    return read_exif(data) if kind == "raw" else NO_EXIF


def _decode(data: bytes, suffix: str, max_pixels: int) -> _Decoded:
    kind = kind_of(data, suffix)
    if not data:
        raise CaptureError("the file is empty")
    if kind == "raw" or (kind == "tiff" and raw_kind(data)):
        # LibRaw turns the picture upright itself
        return _Decoded(read_raw(data, max_pixels), replace(read_exif(data), orientation=1))
    if kind == "jpeg":
        return _jpeg(data, max_pixels)
    if kind == "png":
        return _png(data, max_pixels)
    if kind == "webp":
        return _webp(data, max_pixels)
    if kind == "tiff":
        tiff = read_tiff(data, max_pixels)
        return _Decoded(tiff.pixels, tiff.exif, tiff.icc, None, tiff.cmyk, tiff.notes)
    if kind in ("heif", "avif"):
        heif = read_heif(data, kind, max_pixels)
        return _Decoded(heif.pixels, replace(heif.exif, orientation=1), heif.icc, heif.space, notes=heif.notes)
    if kind:
        raise CaptureError(f"is {kind}, which is not read: convert it to PNG or TIFF")
    raise CaptureError(f"is no picture that can be read ({_KNOWN})")


def _jpeg(data: bytes, max_pixels: int) -> _Decoded:
    header = read_jpeg_header(data)
    if header.process and header.process not in READABLE_PROCESSES:  # first: the walk does not know their coded data
        raise CaptureError(f"is a {header.process} JPEG, which is not read: convert it to PNG or TIFF")
    _refuse(header.fault, header.width, header.height, max_pixels)
    exif = read_exif(header.exif)
    space = colour_space.ADOBE_RGB if exif.adobe_rgb else None
    if header.precision == 12:
        return _Decoded(decode_twelve_bits(data, header), exif, header.icc, space)
    if header.precision != 8 or header.components not in (1, 3, 4):
        raise CaptureError(f"is a JPEG of {header.components} x {header.precision} bits, which is not read")
    if header.components == 4:
        return _Decoded(decode_cmyk(data, header), exif, header.icc, cmyk=True)
    return _Decoded(decode_jpeg(data, header), exif, header.icc, space)


def _png(data: bytes, max_pixels: int) -> _Decoded:
    header = read_png_header(data)
    _refuse(header.fault, header.width, header.height, max_pixels)
    pixels = _by_opencv(without_metadata(data), "PNG")
    notes = ("is animated; its first picture was read",) if b"acTL" in header.chunks else ()
    try:
        space = png_colour_space(header)
    except ValueError as error:
        raise CaptureError(str(error)) from None
    icc = b"" if b"cICP" in header.chunks else header.icc
    return _Decoded(pixels, read_exif(header.exif), icc, space, notes=notes)


def _webp(data: bytes, max_pixels: int) -> _Decoded:
    header = read_webp_header(data)
    _refuse(header.fault, header.width, header.height, max_pixels)
    notes = ("is animated; its first picture was read",) if header.animated else ()
    return _Decoded(_by_opencv(data, "WebP"), read_exif(header.exif), header.icc, notes=notes)


def _refuse(fault: str | None, width: int, height: int, max_pixels: int) -> None:
    if fault:
        raise CaptureError(fault)
    if width * height > max_pixels:
        raise CaptureError(f"is {width}x{height}: more than {max_pixels / 1e6:g} megapixels")


def _by_opencv(data: bytes, name: str) -> Pixels:
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    with quiet_opencv():
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            pixels = None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise CaptureError(f"not a whole {name} picture")
    return np.asarray(pixels)


def _as_srgb(decoded: _Decoded) -> Picture:
    pixels, name = decoded.pixels, ""
    if decoded.cmyk:
        pixels, name = _cmyk_to_srgb(pixels, decoded.icc)
    elif decoded.icc:
        pixels, name = convert_to_srgb(pixels, decoded.icc)
    elif decoded.space is not None:
        pixels, name = colour_space.to_srgb(pixels, decoded.space)
    return Picture(pixels, decoded.exif, name, decoded.notes)


def _cmyk_to_srgb(inks: Pixels, icc: bytes) -> tuple[Pixels, str]:
    """CMYK amounts of 8 bits (height x width x 4) by their profile; without one, by the usual rough formula."""
    if inks.dtype != np.uint8:
        raise CaptureError("is a CMYK picture of 16 bits, which is not read: convert it to sRGB")
    if icc:
        return np.ascontiguousarray(cms_to_rgb(inks, icc)[..., ::-1]), "CMYK"
    paper = 255 - inks.astype(np.uint16)
    rgb = (paper[..., :3] * paper[..., 3:] + 127) // 255
    return np.ascontiguousarray(rgb[..., ::-1].astype(np.uint8)), "CMYK without a profile (roughly)"


def write_picture(
    path: str | Path,
    pixels: Pixels,
    png_compression: int = 3,
    srgb: bool = False,
    embedded: Embedded | None = None,
    jpeg_quality: int = JPEG_QUALITY,
) -> None:
    """Write a picture (BGR or grey, uint8 or uint16) in the format that the suffix names, atomically.

    srgb: tag it as sRGB by an ICC profile. embedded: profile, EXIF and XMP to be written instead. PNG and TIFF keep 16
    bits; JPEG (full-resolution chroma) and WebP (lossless) take 16-bit pictures rounded to 8. Raises
    CaptureError for an unknown suffix or an unwritable place; nothing half-written is left.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise CaptureError(f"cannot write {path}: '{path.suffix}' names no known format: use one of {known}")
    if pixels.dtype == np.uint16 and suffix not in SUFFIXES_16_BIT:
        pixels = to_8_bit(pixels)
    try:
        embedded = embedded or (SRGB_ALONE if srgb else Embedded())
        data = encode_picture(pixels, suffix, png_compression, embedded, jpeg_quality)
    except (cv2.error, ValueError, OSError):
        raise CaptureError(f"cannot write {path}: the {suffix} encoder refused a picture of {pixels.shape}") from None
    write_atomically(path, data)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it. Raises CaptureError if that fails."""
    # a short name of its own: that of the file may already be as long as the file system allows
    temporary = path.with_name(f".livemef-{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise CaptureError(f"cannot write {path}: {error.strerror}") from None


def to_8_bit(pixels: Pixels) -> Pixels:
    """A 16-bit picture (0..65535) rounded to the nearest 8-bit code (0..255); an 8-bit picture unchanged."""
    return pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=1 / 257)


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.exists():
            raise CaptureError(f"picture {path}: there is no such file")
        if not path.is_file():  # a FIFO would hang
            raise CaptureError(f"picture {path}: is not a file")
        return path.read_bytes()
    except OSError as error:
        raise CaptureError(f"picture {path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise CaptureError(f"picture {str(path)!r}: is no name of a file") from None
