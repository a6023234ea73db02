from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.sensor import Raw, Sensor, SensorModel, encoded, tone_table

HEIGHT, WIDTH = 240, 320
QUIET = SensorModel(read_noise=0, row_noise=0, column_noise=0, prnu=0)


def bands(electrons: float | NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    plane = np.broadcast_to(np.asarray(electrons, np.float32), (HEIGHT, WIDTH))
    for row in range(0, HEIGHT, 50):
        yield row, plane[row : row + 50].copy()


def expose(model: SensorModel, electrons: float, frame: int = 0, gain: float = 1.0, seed: int = 1) -> Raw:
    return Sensor(model, HEIGHT, WIDTH, seed).expose(bands(electrons), gain, frame)


def mean_and_variance(model: SensorModel, electrons: float, gain: float = 1.0) -> tuple[float, float]:
    """Of the temporal noise: from the difference of two frames, as a photon-transfer measurement takes it."""
    sensor = Sensor(model, HEIGHT, WIDTH, 1)
    first = sensor.expose(bands(electrons), gain, 1).astype(float)
    second = sensor.expose(bands(electrons), gain, 2).astype(float)
    return float(first.mean() + second.mean()) / 2 - model.black, float((first - second).var() / 2)


@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize("adc", [10, 12])
def test_the_photon_transfer_curve_gives_back_gain_and_read_noise(gain: float, adc: int) -> None:
    model = SensorModel(read_noise=4.0, row_noise=0.0, column_noise=1.0, prnu=0.01, adc=adc)
    levels = [100, 200, 400, 800, 1600] + ([3200, 6400] if gain == 1 else [])
    points = np.array([mean_and_variance(model, electrons, gain) for electrons in levels])
    slope, intercept = np.polyfit(points[:, 0], points[:, 1], 1, w=1 / points[:, 1])
    dn_per_electron = model.dn_per_electron * gain
    assert slope == pytest.approx(dn_per_electron, rel=0.03)
    read_noise_dn = (intercept - 1 / 12) ** 0.5
    assert read_noise_dn == pytest.approx(model.read_noise * dn_per_electron, rel=0.12)
    assert points[:, 0] == pytest.approx(np.array(levels) * dn_per_electron, rel=0.01)


def test_the_dark_frame_has_the_black_level_and_the_read_noise() -> None:
    dark = expose(SensorModel(read_noise=6.0, row_noise=0, column_noise=0, black=100), 0.0)
    assert dark.mean() == pytest.approx(100, abs=0.1)
    assert dark.std() == pytest.approx(np.hypot(6.0 * (4095 - 100) / 10000, 12**-0.5), rel=0.03)


def test_a_full_well_and_the_converter_clip() -> None:
    assert expose(QUIET, 50000.0).min() == QUIET.white
    # noise is clipped with the signal: what is beyond the well does not bring the mean back above it
    half_full = SensorModel(full_well=5000, read_noise=0, row_noise=0, column_noise=0, prnu=0)
    assert expose(half_full, 5000.0).max() == half_full.white
    at_gain = expose(QUIET, 3000.0, gain=4.0)
    assert at_gain.min() == at_gain.max() == QUIET.white
    below = expose(QUIET, 2000.0, gain=4.0)
    assert below.mean() - QUIET.black == pytest.approx(2000 * 4 * QUIET.dn_per_electron, rel=0.01)


def test_photo_response_non_uniformity_is_fixed_and_proportional() -> None:
    sensor = Sensor(SensorModel(read_noise=0, row_noise=0, column_noise=0, prnu=0.02), HEIGHT, WIDTH, 1)
    stack = np.mean([sensor.expose(bands(5000.0), 1.0, frame) - 64.0 for frame in range(40)], axis=0)
    shot_left = 5000**-0.5 / 40**0.5
    assert stack.std() / stack.mean() == pytest.approx(np.hypot(0.02, shot_left), rel=0.05)


def test_columns_are_fixed_and_rows_change() -> None:
    sensor = Sensor(SensorModel(read_noise=0, row_noise=20.0, column_noise=30.0, prnu=0, black=400), HEIGHT, WIDTH, 1)
    first, second = (sensor.expose(bands(0.0), 1.0, frame).astype(float) for frame in (1, 2))
    scale = sensor.model.dn_per_electron
    columns = [raw.mean(axis=0) - raw.mean() for raw in (first, second)]
    rows = [raw.mean(axis=1) - raw.mean() for raw in (first, second)]
    assert columns[0].std() == pytest.approx(30 * scale, rel=0.2)
    assert np.abs(columns[0] - columns[1]).max() < 0.6
    assert rows[0].std() == pytest.approx(20 * scale, rel=0.2)
    assert abs(np.corrcoef(rows[0], rows[1])[0, 1]) < 0.4


def test_noise_follows_from_the_seed_and_the_frame_number() -> None:
    model = SensorModel()
    frame = expose(model, 500.0, frame=3).copy()
    assert np.array_equal(frame, expose(model, 500.0, frame=3))
    assert not np.array_equal(frame, expose(model, 500.0, frame=4))
    assert not np.array_equal(frame, expose(model, 500.0, frame=3, seed=2))
    other = expose(model, 500.0, frame=4).astype(float)
    assert abs(np.corrcoef((frame - frame.mean()).ravel(), (other - other.mean()).ravel())[0, 1]) < 0.3


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (16, 65535)])
def test_the_tone_table_is_srgb_from_black_to_white(bits: int, top: int) -> None:
    table = tone_table(SensorModel(bits=bits)).astype(float)
    assert table[:65].max() == 0
    assert table[4095:].min() == table.max() == top
    assert (np.diff(table) >= 0).all()
    middle = 64 + round(0.2140 * (4095 - 64))
    assert table[middle] / top == pytest.approx(0.5, abs=0.003)


def test_a_colour_goes_through_filters_and_demosaicking() -> None:
    mosaic = np.empty((HEIGHT, WIDTH), np.float32)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2], mosaic[1::2, 0::2], mosaic[1::2, 1::2] = 6000, 2000, 2000, 500
    sensor = Sensor(QUIET, HEIGHT, WIDTH, 1)
    picture = sensor.develop(sensor.expose(bands(mosaic), 1.0, 0)).reshape(-1, 3).mean(axis=0)
    table = tone_table(QUIET)
    expected = [table[64 + round(electrons * QUIET.dn_per_electron)] for electrons in (500, 2000, 6000)]
    assert picture == pytest.approx(expected, abs=2)


@pytest.mark.parametrize(("bits", "adc"), [(8, 10), (8, 12), (16, 10), (16, 12)])
def test_a_linear_picture_holds_the_raw_values(bits: int, adc: int) -> None:
    model = SensorModel(adc=adc, bits=bits, response="linear", black=40)
    table = tone_table(model).astype(float)
    step = 2.0 ** (bits - adc)
    assert np.array_equal(table[: model.white + 1], np.floor(np.arange(model.white + 1) * step))
    assert table[40] == model.black_code
    assert table.max() == model.white_code


@pytest.mark.parametrize("contrast", [-0.9, 0.0, 0.9])
@pytest.mark.parametrize("gamma", [1.2, 2.6, 4.0])
def test_a_response_curve_rises_from_black_to_white(gamma: float, contrast: float) -> None:
    model = SensorModel(response="curve", gamma=gamma, contrast=contrast)
    codes = encoded(model, np.linspace(0, 1, 2001))
    assert (np.diff(codes) > 0).all()
    assert codes[[0, -1]] == pytest.approx([0, 1], abs=1e-9)


def test_the_corners_lose_the_light_that_vignetting_says() -> None:
    vignetted = expose(SensorModel(read_noise=0, row_noise=0, column_noise=0, prnu=0, vignetting=0.6), 8000.0) - 64.0
    middle = vignetted[115:125, 155:165].mean()
    corners = np.mean([vignetted[:6, :6], vignetted[:6, -6:], vignetted[-6:, :6], vignetted[-6:, -6:]])
    assert corners / middle == pytest.approx(0.4, abs=0.02)


def test_hot_pixels_gather_light_of_their_own_in_proportion_to_the_time() -> None:
    sensor = Sensor(SensorModel(read_noise=0, row_noise=0, column_noise=0, prnu=0, hot=12), HEIGHT, WIDTH, 3)
    assert len({(pixel.x, pixel.y) for pixel in sensor.hot_pixels}) == 12
    raw = np.mean([sensor.expose(bands(0.0), 1.0, n, 0.02) for n in range(30)], axis=0) - 64.0
    for pixel in sensor.hot_pixels:
        expected = min(pixel.electrons_per_s * 0.02, 10000) * sensor.model.dn_per_electron
        assert raw[pixel.y, pixel.x] == pytest.approx(expected, rel=0.25, abs=2)
        raw[pixel.y, pixel.x] = 0
    assert not raw.any()
