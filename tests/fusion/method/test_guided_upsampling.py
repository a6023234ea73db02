import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.method import guided_upsampling


def _textures(height=40, width=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 60, (height, width)), rng.uniform(20, 100, (height, width))


def test_box_means_are_means_of_the_window_within_the_picture():
    plane = np.random.default_rng(3).random((9, 7, 2))
    means = guided_upsampling.box_mean(plane, 2)
    np.testing.assert_allclose(means[4, 3], plane[2:7, 1:6].mean(axis=(0, 1)))
    np.testing.assert_allclose(means[0, 0], plane[:3, :3].mean(axis=(0, 1)))
    np.testing.assert_allclose(means[8, 6], plane[6:, 4:].mean(axis=(0, 1)))


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-20, 20))
def test_an_affine_target_is_found_again(a, b, c):
    under, over = _textures()
    found = guided_upsampling.affine_coefficients([under, over], a * under + b * over + c, 4, 1e-6)
    np.testing.assert_allclose(found[8:-8, 8:-8], np.broadcast_to([a, b, c], found[8:-8, 8:-8].shape), atol=1e-5)


@pytest.mark.parametrize("count", [3, 4, 6])
def test_the_fit_finds_it_with_more_guides_too(count, monkeypatch):
    """Where edges are strong it decides."""
    monkeypatch.setattr(guided_upsampling, "EDGE", 1e-6)
    rng = np.random.default_rng(count)
    guides = [rng.uniform(0, 100, (40, 50)) for _ in range(count)]
    factors = rng.uniform(-1, 1, count)
    target = sum(factor * guide for factor, guide in zip(factors, guides, strict=True)) + 7
    found = guided_upsampling.affine_coefficients(guides, target, 4, 1e-6)
    wanted = np.broadcast_to([*factors, 7], found[8:-8, 8:-8].shape)
    np.testing.assert_allclose(found[8:-8, 8:-8], wanted, atol=1e-4)


def _contrast(plane):
    """Standard deviation in windows, away from the border."""
    mean, square = np.moveaxis(guided_upsampling.box_mean(np.stack([plane, plane * plane], axis=-1), 4), -1, 0)
    return np.sqrt(np.maximum(square - mean * mean, 0))[8:-8, 8:-8]


@pytest.mark.parametrize("count", [3, 4, 6])
def test_more_guides_keep_the_contrast_of_the_strongest(count):
    """Wherever it lies, and though the target has none; the target's local mean stays."""
    texture, across = np.random.default_rng(8).uniform(-1, 1, (48, 60)), np.linspace(0, np.pi, 60)
    guides = [20 + 10 * i + (1 + 3 * np.cos(across + i) ** 2) * texture for i in range(count)]
    target = np.full_like(texture, 40)
    found = guided_upsampling.affine_coefficients(guides, target, 4, 1e-3)
    fused = sum(found[..., i] * guide for i, guide in enumerate(guides)) + found[..., -1]
    strongest = np.max([_contrast(guide) for guide in guides], axis=0)
    np.testing.assert_allclose(_contrast(fused), strongest, rtol=0.12)
    np.testing.assert_allclose(fused[8:-8, 8:-8].mean(), 40, atol=0.3)


def test_where_all_guides_are_flat_nothing_is_amplified():
    grain = np.random.default_rng(9).normal(0, 0.1, (3, 40, 50))
    found = guided_upsampling.affine_coefficients(list(50 + grain), np.full((40, 50), 50.0), 4, 0.25)
    assert np.abs(found[..., :3]).max() < 0.2


def test_guides_that_contradict_each_other_are_not_amplified_without_bound():
    texture = np.random.default_rng(10).uniform(-20, 20, (40, 50))
    found = guided_upsampling.affine_coefficients([50 + texture, 50 - texture, 50 + 0 * texture], 50 + texture, 4, 0.25)
    assert np.abs(found[..., :3]).max() <= guided_upsampling.MOST_GAIN


def test_guides_that_run_parallel_share_the_work():
    """Neighbours a stop apart: eps keeps the system solvable."""
    plane = np.tile(np.linspace(20, 60, 50), (40, 1))
    factors = guided_upsampling.affine_coefficients([plane, plane, plane], plane, 4, 0.25)[8:-8, 8:-8, :3]
    np.testing.assert_allclose(factors, 1 / 3, atol=0.02)


def test_where_the_guides_are_flat_the_target_is_kept_smoothed():
    target = np.tile(np.linspace(30, 50, 50), (40, 1))
    flat = np.full_like(target, 70.0)
    a, b, c = np.moveaxis(guided_upsampling.affine_coefficients([flat, flat], target, 3, 1.0), -1, 0)
    np.testing.assert_allclose(
        a * flat + b * flat + c, guided_upsampling.box_mean(guided_upsampling.box_mean(target[..., None], 3), 3)[..., 0]
    )


def test_a_larger_eps_trusts_the_guides_less():
    under, over = _textures()
    low = guided_upsampling.affine_coefficients([under, over], under, 4, 0.01)[..., 0].mean()
    high = guided_upsampling.affine_coefficients([under, over], under, 4, 1000.0)[..., 0].mean()
    assert low == pytest.approx(1, abs=0.01)
    assert high < 0.5


def test_interpolation_is_exact_on_ramps_and_clamped_at_the_border():
    height, width = 23, 31
    small = np.stack(np.meshgrid(np.arange(5) + 0.5, np.arange(4) + 0.5), axis=-1)
    full = guided_upsampling.bilinear_rows(small, height, width)
    expected = (np.arange(width) + 0.5) * 5 / width
    np.testing.assert_allclose(full[11, :, 0], np.clip(expected, 0.5, 4.5))
    np.testing.assert_allclose(full[:, 9, 1], np.clip((np.arange(height) + 0.5) * 4 / height, 0.5, 3.5))


def test_interpolating_to_the_same_size_changes_nothing_and_rows_can_be_had_alone():
    small = np.random.default_rng(4).random((6, 9, 2))
    np.testing.assert_allclose(guided_upsampling.bilinear_rows(small, 6, 9), small)
    whole = guided_upsampling.bilinear_rows(small, 40, 33)
    np.testing.assert_array_equal(guided_upsampling.bilinear_rows(small, 40, 33, 7, 20), whole[7:20])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1)])
def test_the_smallest_planes_work(shape):
    plane = np.random.default_rng(5).uniform(0, 100, shape)
    coefficients = guided_upsampling.affine_coefficients([plane, plane], plane, 4, 1.0)
    assert np.isfinite(guided_upsampling.bilinear_rows(coefficients, 7, 8)).all()


def test_the_light_about_the_sun_is_no_white_patch():
    """Only the darkest of three exposures does not clip there, and the merged lightness is white all over."""
    y, x = np.mgrid[0:40, 0:60]
    sun = 99 - 1.5 * np.hypot(x - 30, y - 20)
    white = np.full_like(sun, 100)
    found = guided_upsampling.affine_coefficients([sun, white, white], white, 4, 0.25)
    fused = found[..., 0] * sun + (found[..., 1] + found[..., 2]) * white + found[..., 3]
    assert fused.max() < 103  # the peak's own contrast; 106.6 about the merged mean
    assert fused[20, 42] < 97  # 100.8
