"""The linear merge against light that is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.correction import LINEAR, CameraCorrection
from livemef.fusion.errors import FusionError
from livemef.fusion.merge import LinearMerge, merge
from livemef.fusion.method.colour import encode, to_codes

EXPOSURES = (1.0, 8.0, 64.0)
WHITE = 8.0  # their geometric mean


def light_of(shape: tuple[int, int] = (60, 80), seed: int = 0) -> np.ndarray:
    """A ramp of light, from 1/3000 to 0.9 of what the darkest exposure can show."""
    rng = np.random.default_rng(seed)
    stops = np.linspace(-11, 0, shape[0] * shape[1]).reshape(shape)[..., None] + rng.uniform(-0.5, 0, 3)
    return 0.9 * 2.0**stops


def exposed(light: np.ndarray, exposure: float, dtype: str = "uint16") -> np.ndarray:
    return to_codes(encode(np.clip(light * exposure, 0, 1)), np.dtype(dtype))


def test_light_comes_back_over_eleven_stops_without_a_seam() -> None:
    light = light_of()
    merged = merge(EXPOSURES, [exposed(light, exposure) for exposure in EXPOSURES])
    assert merged.light.dtype == np.float32
    np.testing.assert_allclose(merged.light / WHITE, light, rtol=2e-3)
    assert merged.clipped == 0
    assert [step.measured for step in merged.comparisons] == pytest.approx([8, 8], rel=0.02)
    assert max(step.disagreeing for step in merged.comparisons) == 0


def test_eight_bits_are_within_their_steps() -> None:
    light = light_of()
    merged = merge(EXPOSURES, [exposed(light, exposure, "uint8") for exposure in EXPOSURES])
    bright = light * EXPOSURES[-1] > 0.05
    np.testing.assert_allclose((merged.light / WHITE)[bright], light[bright], rtol=0.08)


def test_a_linear_camera_and_what_clips_everywhere() -> None:
    light = light_of() * 4
    codes = [np.floor(np.clip(light * exposure, 0, 1) * 65535 + 0.5).astype(np.uint16) for exposure in EXPOSURES]
    merged = merge(EXPOSURES, codes, LINEAR)
    seen = (light < 0.8).all(axis=2)
    np.testing.assert_allclose((merged.light / WHITE)[seen], light[seen], rtol=2e-2)
    assert merged.clipped == pytest.approx(np.mean((light >= 0.95).any(axis=2)), abs=0.01)
    assert merged.light[(light >= 1.2).all(axis=2)] == pytest.approx(WHITE, rel=1e-3)


def test_noise_falls_as_photon_noise_says() -> None:
    """The noise of merged frames of a flat field is that of all electrons that they gathered, within 10 %."""
    rng, full_well, level = np.random.default_rng(3), 10000.0, 0.01
    running = LinearMerge(EXPOSURES[:2], LINEAR)
    frames, electrons = 6, 0.0
    for _ in range(frames):
        for index, exposure in enumerate(EXPOSURES[:2]):
            mean = level * exposure * full_well
            electrons += mean
            counts = rng.poisson(mean, (200, 200, 3)) / full_well
            running.add(index, np.floor(np.clip(counts, 0, 1) * 65535 + 0.5).astype(np.uint16))
    merged = running.result().light
    assert merged.std() / merged.mean() == pytest.approx(electrons**-0.5, rel=0.1)


def test_black_keeps_its_noise_below_zero_and_so_its_mean() -> None:
    black, rng = 0.02, np.random.default_rng(4)
    correction = CameraCorrection(response=np.array([[-black / (1 - black), 1.0]] * 3))
    codes = [np.floor(np.clip(black + rng.normal(0, 0.004, (300, 300, 3)), 0, 1) * 65535 + 0.5) for _ in EXPOSURES]
    merged = merge(EXPOSURES, [code.astype(np.uint16) for code in codes], correction)
    assert merged.light.min() < 0
    assert abs(merged.light.mean()) < 1e-4


def test_what_moved_and_wrong_ratios_are_reported() -> None:
    light = light_of((180, 240))
    pictures = [exposed(light, exposure) for exposure in EXPOSURES]
    pictures[1][100:150, 50:150] //= 2
    assert merge(EXPOSURES, pictures).comparisons[0].disagreeing > 0.1
    wrong = merge((1, 4, 64), [exposed(light, exposure) for exposure in EXPOSURES]).comparisons
    assert [step.measured for step in wrong] == pytest.approx([8, 8], rel=0.02)


def test_a_profile_undoes_what_the_camera_did() -> None:
    light = light_of()
    falloff = np.linspace(1, 0.5, 80)[None, :, None] * np.ones((60, 1, 3))
    matrix = np.array([[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.0, 0.1, 0.9]])
    seen = light @ np.linalg.inv(matrix).T * falloff
    pictures = [exposed(seen, exposure) for exposure in EXPOSURES]
    for picture in pictures:
        picture[30, 40] = 65535
    correction = CameraCorrection(
        transmission=falloff.astype(np.float32), hot_pixels=((40, 30),), matrix=matrix, size=(80, 60)
    )
    merged = merge(EXPOSURES, pictures, correction)
    np.testing.assert_allclose(merged.light / WHITE, light, rtol=0.15)
    with pytest.raises(FusionError, match="measured at 80x60"):
        merge(EXPOSURES, [picture[:50] for picture in pictures], correction)


GREEN_BEFORE_ALL = np.diag([1 / 0.7, 1.0, 1 / 0.55])
"""Matrix of a camera whose blue and red get 70 and 55 % of green's light, so that green clips first."""


def test_white_that_clips_stays_white() -> None:
    """A grey ramp far into clipping: neutral all the way, right until the last channel clips, and never falling."""
    light = np.linspace(0.3, 4, 600)[None, :, None] * np.ones((4, 1, 3))
    camera = light @ np.linalg.inv(GREEN_BEFORE_ALL).T
    codes = [to_codes(np.clip(camera * exposure, 0, 1), np.dtype("uint16")) for exposure in (1.0, 4.0)]
    correction = CameraCorrection(response=LINEAR.response, matrix=GREEN_BEFORE_ALL)
    merged = merge((1.0, 4.0), codes, correction).light / 2
    np.testing.assert_allclose(merged, merged[..., 1:2] * np.ones(3), rtol=2e-3)
    seen = light < 1 / 0.55  # as far as red sees
    np.testing.assert_allclose(merged[seen], light[seen], rtol=2e-3)
    assert np.diff(merged[0, :, 1]).min() > -1e-3
    assert merged[0, -1] == pytest.approx(np.ones(3) / 0.55, rel=1e-3)


def test_a_colour_that_clips_is_no_darker_than_it_was() -> None:
    """A saturated red, of which only red clips: what the other channels saw stays."""
    camera = np.full((4, 4, 3), (0.05, 0.1, 3.0))
    codes = [to_codes(np.clip(camera * exposure, 0, 1), np.dtype("uint16")) for exposure in (1.0, 4.0)]
    correction = CameraCorrection(response=LINEAR.response, matrix=GREEN_BEFORE_ALL)
    merged = merge((1.0, 4.0), codes, correction).light / 2
    np.testing.assert_allclose(merged[0, 0], GREEN_BEFORE_ALL @ (0.05, 0.1, 1.0), rtol=2e-3)


def test_a_matrix_without_a_grey_is_refused() -> None:
    with pytest.raises(FusionError, match="no neutral grey"):
        LinearMerge(EXPOSURES, CameraCorrection(matrix=np.diag([1.0, 1.0, -1.0])))


@given(st.lists(st.floats(0, 1e6), max_size=5))
def test_exposures_that_do_not_rise_are_refused(exposures: list[float]) -> None:
    if len(exposures) >= 2 and exposures[0] > 0 and all(a < b for a, b in itertools.pairwise(exposures)):
        LinearMerge(exposures)
        return
    with pytest.raises(FusionError, match="two exposures or more"):
        LinearMerge(exposures)


def test_a_frame_of_another_size_and_a_missing_exposure_are_refused() -> None:
    running = LinearMerge((1, 2))
    running.add(0, np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(FusionError, match="a frame of each exposure"):
        running.result()
    with pytest.raises(FusionError, match="the ones before"):
        running.add(1, np.zeros((5, 5, 3), np.uint8))
