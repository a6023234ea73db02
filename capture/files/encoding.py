"""Pictures encoded as PNG, TIFF, JPEG or WebP, tagged as sRGB where they are known to be."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.files.icc import srgb_profile
from livemef.capture.files.png import SIGNATURE
from livemef.capture.frame import Pixels

PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp"})
"""Formats that are written."""
SUFFIXES_16_BIT = frozenset({".png", ".tif", ".tiff"})

_JPEG_QUALITY = 95
_TIFF_DEFLATE = 6
_IHDR_END = len(SIGNATURE) + 25


def encode_picture(pixels: Pixels, suffix: str, png_compression: int, srgb: bool) -> bytes:
    """A whole file. pixels: BGR or grey, uint8, or uint16 for PNG and TIFF. srgb: embed a profile that says so.

    Grey pictures carry no profile: it would be one of RGB. Raises ValueError, OSError or cv2.error where the encoder
    refuses.
    """
    profile = srgb_profile() if srgb and pixels.ndim == 3 else None
    if suffix == ".png":
        return _png(pixels, png_compression, profile)
    picture = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    if suffix in (".tif", ".tiff"):
        return _tiff(picture, profile)
    return _by_pillow(picture, suffix, profile)


def _png(pixels: Pixels, compression: int, profile: bytes | None) -> bytes:
    encoded, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    if not encoded:
        raise ValueError("refused")
    whole = data.tobytes()
    if profile is None:
        return whole
    body = b"iCCP" + b"sRGB\0\0" + zlib.compress(profile, 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return whole[:_IHDR_END] + chunk + whole[_IHDR_END:]


def _tiff(picture: NDArray[Any], profile: bytes | None) -> bytes:
    """Baseline strips, deflated."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        picture,
        photometric="rgb" if picture.ndim == 3 else "minisblack",
        compression="zlib",
        compressionargs={"level": _TIFF_DEFLATE},
        rowsperstrip=max(1, (1 << 18) // picture[:1].nbytes),
        iccprofile=profile,
        metadata=None,
        software=False,
    )
    return buffer.getvalue()


def _by_pillow(picture: NDArray[Any], suffix: str, profile: bytes | None) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if suffix == ".webp":
        image.save(buffer, "WEBP", lossless=True, exact=True, icc_profile=profile or b"")
    else:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, icc_profile=profile or b"")
    return buffer.getvalue()
