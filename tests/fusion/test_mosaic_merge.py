"""The merge of raw frames: linear, unbiased in the darks, and the same light as the merge of developed pictures."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from livemef.capture.cameras.base import ask_for_mosaics
from livemef.capture.cameras.raw_development import demosaic, develop
from livemef.capture.cameras.registry import open_camera
from livemef.capture.frame import Exposure, Frame, Mosaic
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.errors import FusionError
from livemef.fusion.merge import LinearMerge
from livemef.fusion.mosaic_merge import MosaicMerge
from livemef.fusion.motion.stillness import StillCheck

ORDERS = ("RGGB", "BGGR", "GRBG", "GBRG")
EXPOSURES = (1000.0, 8000.0)
INNER = slice(8, -8), slice(8, -8)


def frames_of(uri: str, exposure_us: float, count: int) -> list[Frame]:
    """Frames of one exposure, with their mosaics."""
    with closing(open_camera(uri)) as camera:
        assert ask_for_mosaics(camera)
        camera.start()
        for _ in range(4):
            camera.request(Exposure(exposure_us))
            camera.read(1.0)
        found = []
        for _ in range(count):
            camera.request(Exposure(exposure_us))
            found.append(camera.read(1.0))
    return found


def mosaic_of(frame: Frame) -> Mosaic:
    assert frame.mosaic is not None
    return frame.mosaic


def even(light: float, order: str = "RGGB", black: float = 64, white: float = 1023, **gains: float) -> Mosaic:
    """A noiseless frame of even grey light, before which the white balance has been undone."""
    values = np.full((32, 48), 0.0)
    for place, colour in enumerate(order or "GGGG"):
        gain = {"R": gains.get("red_gain", 1.0), "B": gains.get("blue_gain", 1.0)}.get(colour, 1.0)
        values[place // 2 :: 2, place % 2 :: 2] = black + (white - black) * min(1.0, light / gain)
    return Mosaic(np.rint(values).astype(np.uint16), order, black, white, **gains)


@pytest.mark.parametrize("order", [*ORDERS, ""])
def test_a_black_level_passes_through_the_demosaicking(order: str) -> None:
    values = np.random.default_rng(2).integers(0, 4000, (40, 64)).astype(np.uint16)
    plain, lifted = demosaic(values, order).astype(int), demosaic(values + np.uint16(5000), order).astype(int)
    assert np.abs(lifted - plain - 5000).max() <= 1
    for place, colour in enumerate(order):
        site = slice(place // 2, None, 2), slice(place % 2, None, 2)
        assert np.array_equal(plain[(*site, "BGR".index(colour))], values[site])


@pytest.mark.parametrize("order", [*ORDERS, ""])
def test_light_is_in_proportion_and_white_balanced(order: str) -> None:
    gains = {} if not order else {"red_gain": 1.9, "blue_gain": 1.4}
    merge = MosaicMerge(EXPOSURES)
    for index, light in enumerate((0.05, 0.4)):
        for _ in range(3):
            merge.add(index, even(light, order, **gains))
    merged = merge.result()
    assert merged.light == pytest.approx(np.full((32, 48, 3), 0.05 * 8**0.5), rel=0.02)
    assert merged.comparisons[0].measured == pytest.approx(8, rel=0.03)


def test_white_stays_white_where_the_darkest_exposure_clips() -> None:
    merge = MosaicMerge(EXPOSURES)
    for index in (0, 1):
        merge.add(index, even(3.0, "RGGB", red_gain=1.9, blue_gain=1.4))
    merged = merge.result()
    assert merged.clipped == 1
    assert np.ptp(merged.light, axis=2).max() < 1e-5
    # the brightest channel says how bright: red, which has the largest gain
    assert merged.light == pytest.approx(np.full((32, 48, 3), 1.9 * 8**0.5), rel=1e-3)


def test_it_gives_the_light_that_developed_pictures_give() -> None:
    uri = "sim://?scene=target&motion=0&size=320x180&pace=fast&bits=16&full_well=100000"
    developed, raw = LinearMerge(EXPOSURES), MosaicMerge(EXPOSURES)
    for index, exposure in enumerate(EXPOSURES):
        for frame in frames_of(uri, exposure, 3):
            developed.add(index, develop(mosaic_of(frame)))
            raw.add(index, mosaic_of(frame))
    ours, theirs = raw.result(), developed.result()
    difference = np.abs(ours.light - theirs.light)[INNER]
    assert np.median(difference / np.maximum(theirs.light[INNER], 0.01)) < 0.01
    # the developed pictures are demosaicked as encoded, which makes edges a little darker
    assert ours.light.mean() == pytest.approx(theirs.light.mean(), rel=0.01)
    assert ours.clipped == pytest.approx(theirs.clipped, abs=0.002)


def test_black_is_not_too_bright() -> None:
    # of a scene without light the mean is 0: half of the noise lies below the black level
    uri = "sim://?scene=dark&size=320x180&pace=fast&bits=16&read_noise=12"
    developed, raw = LinearMerge(EXPOSURES), MosaicMerge(EXPOSURES)
    for index, exposure in enumerate(EXPOSURES):
        for frame in frames_of(uri, exposure, 8):
            developed.add(index, develop(mosaic_of(frame)))
            raw.add(index, mosaic_of(frame))
    bias_of_developed = float(developed.result().light.mean())
    bias = float(raw.result().light.mean())
    assert bias_of_developed > 2e-4
    assert abs(bias) < 0.1 * bias_of_developed


def test_flat_field_hot_pixels_and_colour_are_corrected() -> None:
    transmission = np.full((32, 48, 3), 0.5, np.float32)
    matrix = np.array([[1.2, -0.1, -0.1], [0.0, 1.0, 0.0], [-0.2, 0.0, 1.2]])
    correction = CameraCorrection(size=(48, 32), transmission=transmission, hot_pixels=((10, 12),), matrix=matrix)
    merge = MosaicMerge(EXPOSURES, correction)
    for index, light in enumerate((0.05, 0.4)):
        mosaic = even(light)
        mosaic.values[12, 10] = 1023
        merge.add(index, mosaic)
    expected = 2 * 0.05 * 8**0.5 * matrix.sum(axis=1)
    assert merge.result().light == pytest.approx(np.broadcast_to(expected, (32, 48, 3)), rel=0.03)


def test_frames_that_do_not_belong_together_are_refused() -> None:
    merge = MosaicMerge(EXPOSURES)
    merge.add(0, even(0.1))
    with pytest.raises(FusionError, match="a frame of each exposure"):
        merge.result()
    for other in (even(0.1, "BGGR"), even(0.1, black=0), even(0.1, white=4095)):
        with pytest.raises(FusionError, match="the ones before are"):
            merge.add(1, other)


def test_a_bump_is_seen_in_raw_frames_as_in_pictures() -> None:
    uri = "sim://?scene=target&motion=0&size=640x360&pace=fast&bits=16&bump=270ms&bump_by=3"
    by_mosaic, by_picture = StillCheck(), StillCheck()
    for frame in frames_of(uri, 4000.0, 8):
        by_mosaic.add_mosaic(0, mosaic_of(frame))
        by_picture.add(0, frame.pixels)
    assert by_picture.result().shift_px > 1
    assert by_mosaic.result().shift_px == pytest.approx(by_picture.result().shift_px, abs=0.3)
    still = StillCheck()
    for frame in frames_of(uri.replace("bump=270ms&", ""), 4000.0, 8):
        still.add_mosaic(0, mosaic_of(frame))
    assert still.result().changed < 0.001
    assert still.result().shift_px < 0.1
