"""Development of raw Bayer frames: black level, white balance, demosaicking, sRGB encoding. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Mosaic, Pixels
from livemef.capture.srgb import encode

_NAME = re.compile(r"(?:S(?P<order>RGGB|BGGR|GRBG|GBRG)|R)(?P<bits>8|10|12|14|16)")
_DEMOSAIC = {
    "RGGB": cv2.COLOR_BayerRGGB2BGR,
    "BGGR": cv2.COLOR_BayerBGGR2BGR,
    "GRBG": cv2.COLOR_BayerGRBG2BGR,
    "GBRG": cv2.COLOR_BayerGBRG2BGR,
}

_ALONG_EDGES = {
    "RGGB": cv2.COLOR_BayerRGGB2BGR_EA,
    "BGGR": cv2.COLOR_BayerBGGR2BGR_EA,
    "GRBG": cv2.COLOR_BayerGRBG2BGR_EA,
    "GBRG": cv2.COLOR_BayerGBRG2BGR_EA,
}


@dataclass(frozen=True)
class RawFormat:
    """An unpacked raw format of libcamera. order: of the 2x2 cell, "RGGB" and so on; "" = monochrome."""

    order: str
    bits: int

    @property
    def white(self) -> int:
        """The highest value."""
        return int(2**self.bits - 1)


def parse_raw_format(name: str) -> RawFormat | None:
    """The format of that name (SRGGB12, R10, ...); None for packed, compressed and other formats."""
    match = _NAME.fullmatch(name)
    return RawFormat(match["order"] or "", int(match["bits"])) if match else None


def unpacked(name: str) -> str:
    """The raw format's name without its packing: SBGGR10_CSI2P to SBGGR10; compressed ones to 16 bits."""
    if name.endswith("_PISP_COMP1"):
        order = name.removesuffix("_PISP_COMP1")
        return "R16" if order == "MONO" else f"S{order}16"
    return name.removesuffix("_CSI2P")


def develop(mosaic: Mosaic, out: Pixels | None = None) -> Pixels:
    """The developed picture of a raw frame: BGR, height x width x 3, uint16, sRGB-encoded.

    Each value is looked up once, in a table for its colour; then the mosaic becomes a picture. out: memory for that,
    packed, of its shape and dtype; None = new memory.
    """
    encoded = np.empty(mosaic.values.shape, np.uint16)
    for place, colour in enumerate(mosaic.order or " "):
        cell = (slice(place // 2, None, 2), slice(place % 2, None, 2)) if mosaic.order else (slice(None), slice(None))
        gain = {"R": mosaic.red_gain, "B": mosaic.blue_gain}.get(colour, 1.0)
        encoded[cell] = _code_table(mosaic.black, mosaic.white, gain)[mosaic.values[cell]]
    if not mosaic.order:
        return np.asarray(cv2.merge([encoded, encoded, encoded], dst=out))
    return np.asarray(cv2.cvtColor(encoded, _DEMOSAIC[mosaic.order], dst=out))


@lru_cache(maxsize=8)
def _code_table(black: float, white: float, gain: float) -> NDArray[np.uint16]:
    """sRGB code of each raw value: black level, scale and white balance, then the curve."""
    linear = (np.arange(65536, dtype=np.float32) - np.float32(black)) * np.float32(65535 / (white - black))
    levels = np.clip(linear * np.float32(gain) + np.float32(0.5), 0, 65535).astype(np.uint16)
    return np.asarray(_srgb_table().take(levels), np.uint16)


def demosaic(values: NDArray[np.uint16], order: str) -> Pixels:
    """Each pixel's three colours, BGR uint16, from values of one each: along edges rather than across them.

    A constant that is added to all values, such as a black level, is added to the result.
    """
    if not order:
        return np.asarray(cv2.merge([values, values, values]))
    # OpenCV copies the outermost pixels from their neighbours: give it further ones
    framed = cv2.copyMakeBorder(values, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.cvtColor(framed, _ALONG_EDGES[order])[2:-2, 2:-2])


@lru_cache(maxsize=1)
def _srgb_table() -> NDArray[np.uint16]:
    """sRGB code for each linear level, both 0..65535."""
    return np.round(encode(np.arange(65536) / 65535) * 65535).astype(np.uint16)
