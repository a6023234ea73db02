"""A raw frame developed here is the picture that the simulated camera develops of it."""

from __future__ import annotations

import numpy as np
import pytest

from livemef.capture.cameras.raw_development import RawFormat, develop, parse_raw_format, unpacked
from livemef.capture.cameras.simulation.sensor import SensorModel, tone_table
from livemef.capture.frame import Mosaic
from livemef.capture.srgb import decode


@pytest.mark.parametrize(
    ("name", "plain", "known"),
    [
        ("SRGGB12_CSI2P", "SRGGB12", RawFormat("RGGB", 12)),
        ("SBGGR10", "SBGGR10", RawFormat("BGGR", 10)),
        ("BGGR_PISP_COMP1", "SBGGR16", RawFormat("BGGR", 16)),
        ("MONO_PISP_COMP1", "R16", RawFormat("", 16)),
        ("R10_CSI2P", "R10", RawFormat("", 10)),
    ],
)
def test_names(name: str, plain: str, known: RawFormat) -> None:
    assert unpacked(name) == plain
    assert parse_raw_format(plain) == known
    assert (parse_raw_format(name) is None) == (name != plain)


def test_tones_are_those_of_the_simulated_camera() -> None:
    model = SensorModel(bits=16, black=64, adc=12)
    levels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    picture = develop(Mosaic(levels, "", 64, 4095))
    expected = tone_table(model).take(levels)
    assert picture.dtype == np.uint16
    assert np.abs(picture[..., 1].astype(int) - expected).max() <= 220  # a level of 65536 where sRGB is steepest


@pytest.mark.parametrize("order", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_colours_and_gains(order: str) -> None:
    """An even orange, seen through each filter array, comes out orange; the gains undo a lack of red and blue."""
    linear = {"R": 0.4, "G": 0.3, "B": 0.1}
    mosaic = np.zeros((32, 32), np.uint16)
    for place, colour in enumerate(order):
        short = {"R": 2.0, "B": 4.0}.get(colour, 1.0)
        mosaic[place // 2 :: 2, place % 2 :: 2] = round(linear[colour] / short * 4095)
    picture = develop(Mosaic(mosaic, order, 0, 4095, red_gain=2.0, blue_gain=4.0))[8:-8, 8:-8] / 65535
    decoded = decode(picture).mean(axis=(0, 1))
    assert decoded == pytest.approx([linear["B"], linear["G"], linear["R"]], abs=0.003)
