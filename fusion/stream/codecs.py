"""Encodes pictures as payloads (raw rows, JPEG, PNG) and decodes them."""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.jpeg import decode_jpeg, is_jpeg, read_jpeg_header
from livemef.capture.files.png import SIGNATURE, read_png_header
from livemef.capture.frame import Mosaic, Pixels
from livemef.fusion.errors import FusionError

JPEG_QUALITY = 90
PNG_COMPRESSION = 1
"""Fast: level 9 takes many times as long for a few per cent."""

LARGEST_PICTURE = 1 << 27
"""Pixels that a picture may have unless the receiver sets another limit: 134 megapixels, 0.8 GB at 16 bits."""

PNG_COLOUR = 2
"""PNG's number for red, green and blue without palette or alpha."""

Encoding = Literal["bgr8", "bgr16"]
MosaicEncoding = Literal[
    "mono8",
    "mono16",
    "bayer_rggb8",
    "bayer_rggb16",
    "bayer_bggr8",
    "bayer_bggr16",
    "bayer_grbg8",
    "bayer_grbg16",
    "bayer_gbrg8",
    "bayer_gbrg16",
]
"""Of raw frames, named as in ROS (sensor_msgs/image_encodings)."""
Codec = Literal["raw", "jpeg", "png"]
ENCODINGS: dict[str, np.dtype[np.unsignedinteger]] = {"bgr8": np.dtype("u1"), "bgr16": np.dtype("<u2")}


MOSAICS: dict[str, tuple[str, np.dtype[np.unsignedinteger]]] = {
    f"{f'bayer_{order.lower()}' if order else 'mono'}{8 * dtype.itemsize}": (order, dtype)
    for order in ("", "RGGB", "BGGR", "GRBG", "GBRG")
    for dtype in ENCODINGS.values()
}
"""Colours of the 2x2 cell ("" = monochrome) and type of each encoding of raw frames."""


class PayloadError(FusionError):
    """A payload is damaged, or is not the picture that its header describes."""


def encoding_of(pixels: Pixels) -> Encoding:
    """The wire's name of the type of `pixels` (H x W x 3, uint8 or uint16). Raises FusionError for anything else."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise FusionError(f"a picture of shape {pixels.shape} cannot be sent: it must be height x width x 3")
    for name, dtype in ENCODINGS.items():
        if pixels.dtype.kind == "u" and pixels.dtype.itemsize == dtype.itemsize:
            return cast(Encoding, name)
    raise FusionError(f"pixels of type {pixels.dtype} cannot be sent: they must be uint8 or uint16")


def encoding_of_mosaic(mosaic: Mosaic) -> MosaicEncoding:
    """The wire's name of the type of a raw frame. Raises FusionError for one that cannot be sent."""
    values = mosaic.values
    if values.ndim == 2 and 0 not in values.shape:
        for name, (order, dtype) in MOSAICS.items():
            if order == mosaic.order and values.dtype.kind == "u" and values.dtype.itemsize == dtype.itemsize:
                return cast(MosaicEncoding, name)
    raise FusionError(f"a raw frame of {values.shape} {values.dtype} in the order '{mosaic.order}' cannot be sent")


def compress(pixels: Pixels, codec: Codec) -> NDArray[np.uint8]:
    """`pixels` (BGR, H x W x 3) as the bytes of a JPEG or PNG file, uint8 [N]. Raises FusionError for 16-bit JPEG."""
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


def rows(
    payload: memoryview,
    width: int,
    height: int,
    encoding: str,
    step: int,
    most_pixels: int = LARGEST_PICTURE,
) -> Pixels:
    """The picture (BGR, H x W x 3) in a raw payload, as a view: read-only if the payload is. Raises PayloadError."""
    return _rows(payload, (height, width, 3), ENCODINGS[encoding], encoding, step, most_pixels)


def mosaic_rows(
    payload: memoryview,
    width: int,
    height: int,
    encoding: str,
    step: int,
    most_pixels: int = LARGEST_PICTURE,
) -> NDArray[Any]:
    """The values of a raw frame (H x W) in its payload, as a view: read-only if the payload is. Raises PayloadError."""
    return _rows(payload, (height, width), MOSAICS[encoding][1], encoding, step, most_pixels)


def _rows(
    payload: memoryview,
    shape: tuple[int, ...],
    dtype: np.dtype[np.unsignedinteger],
    encoding: str,
    step: int,
    most_pixels: int,
) -> NDArray[Any]:
    height, width = shape[:2]
    if width * height > most_pixels:
        raise PayloadError(f"payload claims {width}x{height} pixels, over the limit of {most_pixels}")
    pixel = math.prod(shape[2:]) * dtype.itemsize
    row = width * pixel
    if step < row or step % dtype.itemsize:
        raise PayloadError(f"step {step} does not fit {width} pixels of {encoding} ({row} bytes)")
    if payload.nbytes != step * height:
        raise PayloadError(f"payload has {payload.nbytes} bytes, {height} rows of {step} need {step * height}")
    strides = (step, pixel, dtype.itemsize)[: len(shape)]
    pixels: NDArray[Any] = np.ndarray(shape, dtype, payload, strides=strides)
    return pixels if dtype.isnative else pixels.astype(dtype.newbyteorder("="))


def decompress(
    payload: memoryview, width: int, height: int, encoding: str, codec: Codec, most_pixels: int = LARGEST_PICTURE
) -> Pixels:
    """The picture in a JPEG or PNG payload, judged by its structure before it is decoded: it costs memory and time in
    proportion to its bytes, and to the pixels that the header promises.

    JPEG is baseline only. Raises PayloadError where it is damaged, not what the header says, or above `most_pixels`.
    """
    if width * height > most_pixels:
        raise PayloadError(f"payload claims {width}x{height} pixels, over the limit of {most_pixels}")
    pixels = _from_png(payload, width, height, encoding) if codec == "png" else _from_jpeg(payload, width, height)
    if pixels.shape != (height, width, 3) or pixels.dtype != ENCODINGS[encoding].newbyteorder("="):
        raise PayloadError(f"payload holds {pixels.shape} of {pixels.dtype} where the header promises {encoding}")
    return pixels


def _from_jpeg(payload: memoryview, width: int, height: int) -> Pixels:
    found = read_jpeg_header(payload) if is_jpeg(payload) else None
    if found is None or not found.process:
        raise PayloadError(f"payload holds no picture where the header promises a jpeg of {width}x{height}")
    if (found.width, found.height) != (width, height):
        raise PayloadError(_other_size("jpeg", found.width, found.height, width, height))
    if found.process != "baseline" or found.precision != 8 or found.components != 3:
        raise PayloadError(
            f"payload is a {found.process} JPEG of {found.components} x {found.precision} bits; the wire has baseline "
            "JPEG of 3 x 8 bits"
        )
    if found.scans > found.components:
        raise PayloadError(f"payload is a JPEG of {found.scans} scans for {found.components} components")
    try:
        return decode_jpeg(payload, found)
    except CaptureError as error:
        raise PayloadError(f"payload is a damaged jpeg: {error}") from None


def _from_png(payload: memoryview, width: int, height: int, encoding: str) -> Pixels:
    data = bytes(payload)
    if not data.startswith(SIGNATURE):
        raise PayloadError(f"payload holds no picture where the header promises a png of {width}x{height}")
    found = read_png_header(data)
    if (found.width, found.height) != (width, height):
        raise PayloadError(_other_size("png", found.width, found.height, width, height))
    if found.fault:
        raise PayloadError(f"payload is a damaged png: {found.fault}")
    if (found.colour_type, found.depth) != (PNG_COLOUR, 8 * ENCODINGS[encoding].itemsize) or b"acTL" in found.chunks:
        raise PayloadError(f"payload is a PNG of another kind (colour type {found.colour_type}, {found.depth} bits)")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise PayloadError("payload is a damaged png")
    return pixels


def _other_size(codec: str, found_width: int, found_height: int, width: int, height: int) -> str:
    return f"payload holds {found_width}x{found_height} where the header promises a {codec} of {width}x{height}"
