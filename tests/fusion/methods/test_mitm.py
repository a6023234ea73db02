import cv2
import numpy as np
import pytest

from livemef.fusion.errors import FusionError
from livemef.fusion.methods import mitm
from livemef.fusion.metrics.mef_ssim import mef_ssim


def bracket(seed: int = 0) -> list[np.ndarray]:
    """A dark foreground with texture beside a bright one: neither exposure holds both."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((128, 160)), (0, 0), 1.5)
    texture = 0.2 + 0.8 * (noise - noise.min()) / np.ptp(noise)
    radiance = texture * np.where(np.arange(160) < 80, 0.02, 1.5)
    linear = radiance[..., None] * np.array([0.8, 1.0, 0.9])
    return [np.rint(255 * np.clip(linear * gain, 0, 1) ** (1 / 2.2)).astype(np.uint8) for gain in (0.4, 12.0)]


def detail(picture: np.ndarray) -> np.ndarray:
    luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float64)
    return luma - cv2.GaussianBlur(luma, (0, 0), 4)


def test_detail_of_both_exposures_survives() -> None:
    dark, bright = bracket()
    fused = mitm.fuse([dark, bright])
    assert (fused.shape, fused.dtype) == (dark.shape, np.uint8)
    for half in (slice(8, 60), slice(100, 152)):
        luma, *sources = (detail(picture)[:, half] for picture in (fused, dark, bright))
        best = max(sources, key=lambda plane: float(plane.std()))
        assert np.corrcoef(luma.ravel(), best.ravel())[0, 1] > 0.9


def test_it_holds_more_structure_than_one_exposure_alone() -> None:
    pair = bracket(1)
    assert mef_ssim(pair, mitm.fuse(pair)) > max(mef_ssim(pair, picture) for picture in pair)


def test_the_order_of_brightness_is_kept() -> None:
    luma = mitm.fused_luma(bracket())
    assert luma[:, 100:].mean() > luma[:, :60].mean()


def test_luma_fills_the_range() -> None:
    luma = mitm.fused_luma(bracket())
    assert luma.dtype == np.float32
    assert (luma.min(), luma.max()) == (0.0, 255.0)


def test_a_flat_pair_stays_flat() -> None:
    flat = [np.full((64, 64, 3), value, np.uint8) for value in (40, 200)]
    assert np.ptp(mitm.fuse(flat)) <= 1


def test_of_more_exposures_the_outer_two_count() -> None:
    dark, bright = bracket()
    middle = np.full_like(dark, 128)
    np.testing.assert_array_equal(mitm.fuse([dark, middle, bright]), mitm.fuse([dark, bright]))


def test_one_exposure_is_refused() -> None:
    with pytest.raises(FusionError):
        mitm.fuse(bracket()[:1])
