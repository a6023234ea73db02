"""The pixel formats of cameras converted to BGR: packed and planar YUV, JPEG, greyscale. Pure functions on bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.jpeg import decode_jpeg, read_jpeg_header
from livemef.capture.frame import Pixels

Bytes = NDArray[np.uint8]


class _Decoder(Protocol):
    def __call__(self, data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
        """See PixelFormat."""


@dataclass(frozen=True)
class PixelFormat:
    """A pixel format. dtype: of the decoded picture; white: its highest code.

    decode(data, width, height, bytes_per_line, out): BGR, height x width x 3; None for data that is cut short or
    damaged. out: memory of that shape and dtype, packed, into which the picture is converted; None = new memory. The
    result never lies in `data`.
    """

    dtype: str
    white: float
    decode: _Decoder


def _rows(data: Bytes, count: int, used: int, stride: int) -> Bytes | None:
    """`count` rows of `used` bytes without their padding, which the last row may lack; None for too few bytes."""
    stride = max(stride, used)
    if data.size < stride * (count - 1) + used:
        return None
    if data.size < stride * count:
        data = np.concatenate([data, np.zeros(stride * count - data.size, np.uint8)])
    return data[: stride * count].reshape(count, stride)[:, :used]


def bgr(data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
    """Blue, green and red, a byte each."""
    rows = _rows(data, height, 3 * width, stride)
    if rows is None:
        return None
    pixels = np.empty((height, width, 3), np.uint8) if out is None else out
    np.copyto(pixels.reshape(height, 3 * width), rows)
    return pixels


def bgrx(data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
    """Blue, green, red, and a byte that means nothing."""
    rows = _rows(data, height, 4 * width, stride)
    if rows is None:
        return None
    return np.asarray(cv2.cvtColor(_split(rows, width, 4), cv2.COLOR_BGRA2BGR, dst=out))


def _split(rows: Bytes, width: int, channels: int) -> Bytes:
    """Rows of bytes, padded or not, as pixels of so many bytes, in place."""
    strides = (rows.strides[0], channels, 1)
    return np.lib.stride_tricks.as_strided(rows, (rows.shape[0], width, channels), strides, writeable=False)


def _yuyv(data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
    rows = _rows(data, height, 2 * width, stride)
    if rows is None:
        return None
    return np.asarray(cv2.cvtColor(_split(rows, width, 2), cv2.COLOR_YUV2BGR_YUY2, dst=out))


def _nv12(data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
    rows = _rows(data, height * 3 // 2, width, stride)
    return None if rows is None else np.asarray(cv2.cvtColor(rows, cv2.COLOR_YUV2BGR_NV12, dst=out))


def _yuv420(data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
    """Three planes; the lines of the two for colour are half as long, padding included."""
    rows = _rows(data, height * 3 // 2, width, stride)
    if rows is None:
        return None
    if stride > width:  # OpenCV knows no padding here
        line = stride // 2
        halves = data[stride * height :][: line * height]
        colour = _rows(halves, height, width // 2, line)
        if colour is None:
            return None
        rows = np.concatenate([rows[:height], np.ascontiguousarray(colour).reshape(height // 2, width)])
    return np.asarray(cv2.cvtColor(rows, cv2.COLOR_YUV2BGR_I420, dst=out))


def _jpeg(data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
    encoded = data.tobytes()
    header = read_jpeg_header(encoded)
    if (header.width, header.height) != (width, height):
        return None
    try:
        return decode_jpeg(encoded, header, out)
    except CaptureError:
        return None


def _grey(bits: int) -> _Decoder:
    """Decoder of greyscale of 8 bits, or of more in two bytes, low byte first; 10 and 12 bits are shifted to 16."""
    itemsize = 1 if bits == 8 else 2

    def decode(data: Bytes, width: int, height: int, stride: int, out: Pixels | None = None) -> Pixels | None:
        rows = _rows(data, height, itemsize * width, stride)
        if rows is None:
            return None
        plane: NDArray[Any] = np.ascontiguousarray(rows)
        if itemsize == 2:
            plane = plane.view("<u2").astype(np.uint16)
            plane <<= 16 - bits
        return np.asarray(cv2.merge([plane, plane, plane], dst=out))

    return decode


FORMATS: dict[str, PixelFormat] = {
    "NV12": PixelFormat("uint8", 255.0, _nv12),
    "YUV420": PixelFormat("uint8", 255.0, _yuv420),
    "YUYV": PixelFormat("uint8", 255.0, _yuyv),
    "MJPEG": PixelFormat("uint8", 255.0, _jpeg),
    "GREY": PixelFormat("uint8", 255.0, _grey(8)),
    "Y16": PixelFormat("uint16", 65535.0, _grey(16)),
    "Y12": PixelFormat("uint16", 65520.0, _grey(12)),
    "Y10": PixelFormat("uint16", 65472.0, _grey(10)),
}
"""By the V4L2 name of the format, best first: uncompressed colour, compressed colour, greyscale."""
