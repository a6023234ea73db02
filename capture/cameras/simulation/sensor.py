"""The sensor behind the lens: electrons to raw values to a picture.

Per pixel, in this order: photo-response non-uniformity, shot noise, full well, read, row and column noise, analogue
gain, black level, quantisation. Then the camera's own processing: tone curve (sRGB) and demosaicking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.frame import Pixels

Plane = NDArray[np.float32]
Raw = NDArray[np.uint16]

CFA = ((2, 1), (1, 0))
"""The colour filter array as BGR channel numbers: red, green / green, blue."""

_SPARE = 256
"""Rows (and columns) by which noise tiles are larger than the picture: each frame looks at another part of them."""


@dataclass(frozen=True)
class SensorModel:
    """full_well, read_noise, row_noise, column_noise in electrons; prnu relative; black in DN; adc, bits in bits."""

    full_well: float = 10000.0
    read_noise: float = 3.0
    row_noise: float = 0.5
    column_noise: float = 0.5
    prnu: float = 0.005
    black: int = 64
    adc: int = 12
    bits: int = 8

    @property
    def white(self) -> int:
        """The highest raw value, DN: that of a full well at gain 1."""
        return int(2**self.adc - 1)

    @property
    def dn_per_electron(self) -> float:
        """At gain 1."""
        return (self.white - self.black) / self.full_well


class Sensor:
    """One sensor with its fixed patterns, drawn from `seed`; height and width even.

    Shot noise is Gaussian with the variance of the signal: right from some ten electrons up, and below that hidden
    under read noise. Noise comes from tiles made once, seen at another place for each frame.
    """

    def __init__(self, model: SensorModel, height: int, width: int, seed: int) -> None:
        self.model = model
        self._seed = seed
        self._shape = (height, width)
        random = np.random.default_rng((seed, 0))
        self._shot_noise = random.standard_normal((height + _SPARE, width + _SPARE), np.float32)
        # not shifted sideways, so that what belongs to a column stays there
        self._read_noise = random.standard_normal((height + _SPARE, width), np.float32) * np.float32(model.read_noise)
        self._read_noise += random.standard_normal((height + _SPARE, 1), np.float32) * np.float32(model.row_noise)
        self._read_noise += random.standard_normal((1, width), np.float32) * np.float32(model.column_noise)
        self._response = (1 + model.prnu * random.standard_normal(self._shape)).astype(np.float32)
        self._tone = tone_table(model)
        self._raw = np.empty(self._shape, np.uint16)

    def expose(self, bands: Iterable[tuple[int, Plane]], gain: float, frame: int) -> Raw:
        """The raw frame (height x width, uint16, DN) of a mosaic of mean electrons; valid until the next call.

        bands: (first row, rows x width float32) from top to bottom; the arrays are overwritten. frame: its number, from
        which its noise follows.
        """
        model, raw = self.model, self._raw
        top, left, read_top = np.random.default_rng((self._seed, 3, frame)).integers(0, _SPARE, 3)
        width = self._shape[1]
        scale = model.dn_per_electron * gain
        for row, electrons in bands:
            rows = slice(row, row + len(electrons))
            np.multiply(electrons, self._response[rows], out=electrons)
            deviation = cv2.sqrt(electrons)
            noise = self._shot_noise[row + top :][: len(electrons), left : left + width]
            cv2.accumulateProduct(deviation, noise, electrons)
            cv2.threshold(electrons, model.full_well, 0, cv2.THRESH_TRUNC, dst=electrons)
            read = self._read_noise[row + read_top :][: len(electrons)]
            band = cv2.addWeighted(electrons, scale, read, scale, model.black, dst=raw[rows], dtype=cv2.CV_16U)
            cv2.threshold(band, model.white, 0, cv2.THRESH_TRUNC, dst=raw[rows])
        return raw

    def develop(self, raw: Raw) -> Pixels:
        """The camera's picture of a raw frame: BGR, sRGB-encoded, uint8 or uint16."""
        return cv2.cvtColor(_look_up(self._tone, raw), cv2.COLOR_BayerRGGB2BGR_EA)


def tone_table(model: SensorModel) -> NDArray[Any]:
    """sRGB code (uint8 or uint16, full range) for each of the 65536 raw values; black level is 0, white the highest."""
    linear = (np.arange(65536) - model.black) / (model.white - model.black)
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    codes = np.round(encoded * (2**model.bits - 1))
    return np.asarray(codes, np.uint8 if model.bits == 8 else np.uint16)


def _look_up(table: NDArray[Any], raw: Raw) -> NDArray[Any]:
    try:
        return np.asarray(cv2.LUT(raw, table))
    except cv2.error:
        # OpenCV 4 has tables for 8-bit pictures only
        return np.asarray(table.take(raw))
