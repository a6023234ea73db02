"""A picture as a message's payload: raw rows, JPEG or PNG, and back."""

from __future__ import annotations

import struct
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError

JPEG_QUALITY = 90
PNG_COMPRESSION = 1
"""Fast: level 9 takes many times as long for a few per cent."""

LARGEST_PICTURE = 1 << 28
"""Pixels that a compressed payload may claim: 268 megapixels."""

Encoding = Literal["bgr8", "bgr16"]
Codec = Literal["raw", "jpeg", "png"]
ENCODINGS: dict[Encoding, np.dtype[np.unsignedinteger]] = {"bgr8": np.dtype("u1"), "bgr16": np.dtype("<u2")}
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class PayloadError(FusionError):
    """A payload is not the picture that its header promises."""


def encoding_of(pixels: Pixels) -> Encoding:
    """The wire's name of the pixels' type. Raises FusionError for anything but height x width x 3 of uint8 or
    uint16.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise FusionError(f"a picture of shape {pixels.shape} cannot be sent: it must be height x width x 3")
    for name, dtype in ENCODINGS.items():
        if pixels.dtype.kind == "u" and pixels.dtype.itemsize == dtype.itemsize:
            return name
    raise FusionError(f"pixels of type {pixels.dtype} cannot be sent: they must be uint8 or uint16")


def compress(pixels: Pixels, codec: Codec) -> NDArray[np.uint8]:
    """`pixels` as a JPEG or PNG file, one-dimensional bytes. Raises FusionError for 16-bit JPEG."""
    if codec == "png":
        options = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]
    elif pixels.dtype.itemsize == 1:
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    else:
        raise FusionError("codec jpeg holds 8 bits a sample, these pictures have 16: choose raw or png")
    done, encoded = cv2.imencode("." + codec, pixels, options)
    if not done:
        raise FusionError(f"a picture of shape {pixels.shape} cannot be written as {codec}")
    return np.asarray(encoded, np.uint8).reshape(-1)


def rows(payload: memoryview, width: int, height: int, encoding: Encoding, step: int) -> Pixels:
    """The picture in a raw payload, without copying: read-only where the payload is. Raises PayloadError."""
    dtype = ENCODINGS[encoding]
    row = width * 3 * dtype.itemsize
    if step < row or step % dtype.itemsize:
        raise PayloadError(f"step {step} does not fit {width} pixels of {encoding} ({row} bytes)")
    if payload.nbytes != step * height:
        raise PayloadError(f"payload has {payload.nbytes} bytes, {height} rows of {step} need {step * height}")
    strides = (step, 3 * dtype.itemsize, dtype.itemsize)
    pixels: Pixels = np.ndarray((height, width, 3), dtype, payload, strides=strides)
    return pixels if dtype.isnative else pixels.astype(dtype.newbyteorder("="))


def decompress(payload: memoryview, width: int, height: int, encoding: Encoding, codec: Codec) -> Pixels:
    """The picture in a JPEG or PNG payload. Raises PayloadError where it is damaged or not what the header says."""
    data = np.frombuffer(payload, np.uint8)
    size = _png_size(payload) if codec == "png" else _jpeg_size(payload)
    if size != (width, height):  # before decoding: a small file can claim a picture that fills the memory
        found = "no picture" if size is None else f"{size[0]}x{size[1]}"
        raise PayloadError(f"payload holds {found} where the header promises a {codec} of {width}x{height}")
    if width * height > LARGEST_PICTURE:
        raise PayloadError(f"payload claims {width}x{height} pixels, over the limit of {LARGEST_PICTURE}")
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise PayloadError(f"payload is a damaged {codec}")
    if pixels.shape != (height, width, 3) or pixels.dtype != ENCODINGS[encoding].newbyteorder("="):
        raise PayloadError(f"payload holds {pixels.shape} of {pixels.dtype} where the header promises {encoding}")
    return pixels


def _png_size(data: memoryview) -> tuple[int, int] | None:
    if len(data) < 24 or bytes(data[:8]) != b"\x89PNG\r\n\x1a\n" or bytes(data[12:16]) != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: memoryview) -> tuple[int, int] | None:
    """Width and height from the frame header (ITU-T T.81, B.2.2), found by walking the marker segments."""
    if bytes(data[:2]) != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    return None
