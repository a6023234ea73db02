"""Pictures encoded as PNG, TIFF, JPEG or WebP, tagged as sRGB where they are known to be."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.files.embedding import Embedded, tiff_tags, with_metadata
from livemef.capture.files.icc import profile_name, srgb_profile
from livemef.capture.files.png import SIGNATURE
from livemef.capture.files.tiff_directory import SHORT, tiff_bytes
from livemef.capture.frame import Pixels

PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp"})
"""Formats that are written."""
SUFFIXES_16_BIT = frozenset({".png", ".tif", ".tiff"})

JPEG_QUALITY = 95
_TIFF_DEFLATE = 6
_IHDR_END = len(SIGNATURE) + 25


SRGB_ALONE = Embedded(icc=srgb_profile())
"""A profile that says that the picture is sRGB, and nothing else."""


def encode_picture(
    pixels: Pixels, suffix: str, png_compression: int, embedded: Embedded, jpeg_quality: int = JPEG_QUALITY
) -> bytes:
    """A whole file. pixels: BGR or grey, uint8, or uint16 for PNG and TIFF. embedded: profile, EXIF and XMP.

    Grey pictures carry no profile: it would be one of RGB. Raises ValueError, OSError or cv2.error where the encoder
    refuses.
    """
    if pixels.ndim == 2:
        embedded = replace(embedded, icc=b"")
    if suffix in (".tif", ".tiff"):
        return _tiff(pixels, embedded)
    size = pixels.shape[1], pixels.shape[0]
    if suffix == ".png":
        return with_metadata(_png(pixels, png_compression, embedded.icc), suffix, size, embedded)
    picture = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    return with_metadata(_by_pillow(picture, suffix, embedded.icc, jpeg_quality), suffix, size, embedded)


def _png(pixels: Pixels, compression: int, profile: bytes) -> bytes:
    encoded, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    if not encoded:
        raise ValueError("refused")
    whole = data.tobytes()
    if not profile:
        return whole
    body = b"iCCP" + profile_name(profile).encode("latin-1", "replace")[:79] + b"\0\0" + zlib.compress(profile, 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return whole[:_IHDR_END] + chunk + whole[_IHDR_END:]


def _tiff(pixels: Pixels, embedded: Embedded) -> bytes:
    """Baseline TIFF, uncompressed where it carries metadata for an archive (no baseline has Deflate); else deflated."""
    colour = pixels.ndim == 3
    tags = {262: (SHORT, 2 if colour else 1), **tiff_tags(embedded)}  # RGB, or black is 0
    return b"".join(tiff_bytes(pixels[..., ::-1] if colour else pixels, tags, None if embedded.exif else _TIFF_DEFLATE))


def _by_pillow(picture: NDArray[Any], suffix: str, profile: bytes, quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if suffix == ".webp":
        image.save(buffer, "WEBP", lossless=True, exact=True, icc_profile=profile)
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=0, icc_profile=profile)
    return buffer.getvalue()
