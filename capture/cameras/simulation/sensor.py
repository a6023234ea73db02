"""Model of the image sensor: electrons to raw values to a developed picture.

Per pixel, in this order: photo-response non-uniformity and vignetting, dark current of hot pixels, shot noise, full
well, read, row and column noise, analogue gain, black level, quantisation. Then the camera's own processing: tone curve
and demosaicking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.loops import Levels, Plane, Raw, best_loops
from livemef.capture.frame import Mosaic, Pixels
from livemef.capture.srgb import encode

CFA = ((2, 1), (1, 0))
"""The colour filter array as BGR channel numbers: red, green / green, blue."""

_SPARE = 256
"""Rows (and columns) by which noise tiles are larger than the picture: each frame uses another part of them."""


@dataclass(frozen=True)
class SensorModel:
    """full_well, read_noise, row_noise, column_noise in electrons; prnu relative; black in DN; adc, bits in bits.

    vignetting: loss of light in the corners, 0..1, after the cos^4 law. hot: number of hot pixels. response: srgb,
    linear (the raw values, black level included, left-aligned), or curve (see `encoded`, with gamma and contrast).
    """

    full_well: float = 10000.0
    read_noise: float = 3.0
    row_noise: float = 0.5
    column_noise: float = 0.5
    prnu: float = 0.005
    black: int = 64
    adc: int = 12
    bits: int = 8
    vignetting: float = 0.0
    hot: int = 0
    response: str = "srgb"
    gamma: float = 2.2
    contrast: float = 0.0

    @property
    def white(self) -> int:
        """The highest raw value, DN: that of a full well at gain 1."""
        return int(2**self.adc - 1)

    @property
    def dn_per_electron(self) -> float:
        """At gain 1."""
        return (self.white - self.black) / self.full_well

    @property
    def black_code(self) -> int:
        """The picture's code without light."""
        return self._raw_code(self.black) if self.response == "linear" else 0

    @property
    def white_code(self) -> int:
        """The picture's highest code."""
        return self._raw_code(self.white) if self.response == "linear" else int(2**self.bits - 1)

    def _raw_code(self, raw: int) -> int:
        return int(raw << self.bits >> self.adc)


_TOE = 0.055
"""sRGB's offset: the power function at 0 is minus this."""


class Sensor:
    """One sensor with its fixed patterns, drawn from `seed`; height and width even.

    Shot noise is Gaussian with the variance of the signal: accurate from some ten electrons up; below, read noise is
    larger. Noise comes from tiles made once, shifted for each frame.
    """

    def __init__(self, model: SensorModel, height: int, width: int, seed: int) -> None:
        self.model = model
        self._loops = best_loops()
        self._seed = seed
        self._shape = (height, width)
        random = np.random.default_rng((seed, 0))
        self._shot_noise = random.standard_normal((height + _SPARE, width + _SPARE), np.float32)
        # not shifted sideways, so that what belongs to a column stays there
        self._read_noise = random.standard_normal((height + _SPARE, width), np.float32) * np.float32(model.read_noise)
        self._read_noise += random.standard_normal((height + _SPARE, 1), np.float32) * np.float32(model.row_noise)
        self._read_noise += random.standard_normal((1, width), np.float32) * np.float32(model.column_noise)
        self._response = (1 + model.prnu * random.standard_normal(self._shape)).astype(np.float32)
        self._response *= vignetting_map(model.vignetting, height, width)
        self.hot_pixels = hot_pixels(model.hot, height, width, seed)
        self._tone = tone_table(model)
        self._raw = np.empty(self._shape, np.uint16)
        self._mosaic: NDArray[Any] = np.empty(self._shape, self._tone.dtype)

    def expose(self, bands: Iterable[tuple[int, Plane]], gain: float, frame: int, exposure_s: float = 0.0) -> Raw:
        """The raw frame (height x width, uint16, DN) of a mosaic of mean electrons; valid until the next call.

        bands: (first row, rows x width float32) from top to bottom; the arrays are overwritten. frame: its number, from
        which its noise follows. exposure_s: time for which hot pixels collect dark current.
        """
        model, raw = self.model, self._raw
        top, left, read_top = np.random.default_rng((self._seed, 3, frame)).integers(0, _SPARE, 3)
        width = self._shape[1]
        levels = Levels(model.full_well, model.dn_per_electron * gain, model.black, model.white)
        for row, electrons in bands:
            rows = slice(row, row + len(electrons))
            response = self._response[rows]
            if self.hot_pixels:
                response = self._with_dark_current(electrons, row, exposure_s)
            shot = self._shot_noise[row + top :][: len(electrons), left : left + width]
            read = self._read_noise[row + read_top :][: len(electrons)]
            self._loops.raw_values(raw[rows], electrons, response, shot, read, levels)
        return raw

    def _with_dark_current(self, electrons: Plane, row: int, exposure_s: float) -> Plane:
        """Add the hot pixels' electrons to a band that begins at `row`. Returns the response that is left to apply."""
        np.multiply(electrons, self._response[row : row + len(electrons)], out=electrons)
        for pixel in self.hot_pixels:
            if row <= pixel.y < row + len(electrons):
                electrons[pixel.y - row, pixel.x] += pixel.electrons_per_s * exposure_s
        return np.ones_like(electrons)

    def develop(self, raw: Raw, out: Pixels | None = None) -> Pixels:
        """The developed picture of a raw frame: BGR, encoded by the model's response, uint8 or uint16.

        out: memory for it, of its shape and dtype, used unless the response is linear.
        """
        mosaic = _look_up(self._tone, raw, self._mosaic)
        if self.model.response != "linear":
            return cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2BGR_EA, dst=out)
        # raw values must be kept, and this demosaicking loses those of the outermost pixels
        framed = cv2.copyMakeBorder(mosaic, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
        return cv2.cvtColor(framed, cv2.COLOR_BayerRGGB2BGR_EA)[2:-2, 2:-2]

    def mosaic(self, raw: Raw) -> Mosaic:
        """A copy of a raw frame, with what is needed to develop it."""
        order = "".join("BGR"[channel] for row in CFA for channel in row)
        return Mosaic(raw.copy(), order, self.model.black, self.model.white)


@dataclass(frozen=True)
class HotPixel:
    """A pixel with dark current."""

    x: int
    y: int
    electrons_per_s: float


def hot_pixels(count: int, height: int, width: int, seed: int) -> tuple[HotPixel, ...]:
    """`count` hot pixels, no two in one place, with dark currents spread evenly in stops from 300 to 300,000 e/s."""
    random = np.random.default_rng((seed, 4))
    places = random.choice(height * width, min(count, height * width), replace=False)
    currents = 300.0 * 1000.0 ** random.random(len(places))
    return tuple(HotPixel(int(p % width), int(p // width), float(c)) for p, c in zip(places, currents, strict=True))


def vignetting_map(loss: float, height: int, width: int) -> Plane:
    """Share of the light that reaches each pixel (height x width): cos^4 of the angle, 1 - loss in the corners."""
    tangent_squared = (1 - loss) ** -0.5 - 1
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    radius_squared = ((y - centre_y) ** 2 + (x - centre_x) ** 2) / (centre_y**2 + centre_x**2)
    return np.asarray((1 + tangent_squared * radius_squared) ** -2.0, np.float32)


def encoded(model: SensorModel, linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """The picture's code, 0..1, for linear light 0..1 above black.

    The curve is built as sRGB is, with another exponent 1/gamma: a power, and a straight line near black that touches
    it. Then an S (contrast > 0) or its opposite (< 0) by a sine, with slope 1 - contrast at both ends.
    """
    if model.response == "srgb":
        return np.asarray(encode(linear), np.float64)
    gamma = model.gamma
    knee = _TOE / (gamma - 1)
    slope = (1 + _TOE) ** gamma * (gamma - 1) ** (gamma - 1) / (_TOE ** (gamma - 1) * gamma**gamma)
    power = np.where(linear * slope <= knee, linear * slope, (1 + _TOE) * linear ** (1 / gamma) - _TOE)
    return np.asarray(power - model.contrast * np.sin(2 * np.pi * power) / (2 * np.pi))


def tone_table(model: SensorModel) -> NDArray[Any]:
    """The picture's code (uint8 or uint16) for each of the 65536 raw values."""
    raw = np.arange(65536)
    if model.response == "linear":
        codes = np.minimum(raw, model.white) << model.bits >> model.adc
    else:
        linear = np.clip((raw - model.black) / (model.white - model.black), 0.0, 1.0)
        codes = np.round(encoded(model, linear) * (2**model.bits - 1)).astype(np.int64)
    return np.asarray(codes, np.uint8 if model.bits == 8 else np.uint16)


def _look_up(table: NDArray[Any], raw: Raw, out: NDArray[Any]) -> NDArray[Any]:
    try:
        return np.asarray(cv2.LUT(raw, table, dst=out))
    except cv2.error:
        # OpenCV 4 has tables for 8-bit pictures only
        return np.asarray(table.take(raw, out=out, mode="clip"))
