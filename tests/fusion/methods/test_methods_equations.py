"""The methods' building blocks against slow, literal forms of their equations."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from livemef.fusion.methods import dbm, dem, dsift_ef, msr


def texture(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (height, width))


@pytest.mark.parametrize("sigma", [2.0, 15.0, 80.0])
def test_the_surround_is_a_gaussian_over_a_mirrored_plane(sigma: float) -> None:
    plane = texture(24, 31) * 255
    reach = int(7 * sigma)
    mirrored = np.pad(plane, reach, mode="symmetric")
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    rows = np.apply_along_axis(np.convolve, 0, mirrored, taps, "valid")
    literal = np.apply_along_axis(np.convolve, 1, rows, taps, "valid")
    assert np.abs(msr.surround(plane, sigma) - literal).max() < 1e-6


def test_retinex_of_a_flat_plane_is_zero() -> None:
    assert np.abs(msr.retinex(np.full((20, 30), 77.0))).max() < 1e-12


def literal_descriptor_sum(grey: np.ndarray) -> np.ndarray:
    """Dense SIFT as described: eight orientation planes, each blurred by the 16-tap window, four cells a pixel."""
    padded = np.pad(grey, 7)
    padded = padded / padded.max()
    blur = np.exp(-0.5 * (np.arange(-2, 3) ** 2))
    blur = np.outer(blur, blur) / blur.sum() ** 2
    gy, gx = np.gradient(blur)
    gx, gy = gx * 2 / np.abs(gx).sum(), gy * 2 / np.abs(gy).sum()
    wide = np.pad(padded, 2)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (5, 5))
    ix, iy = (windows * gx).sum(axis=(2, 3)), (windows * gy).sum(axis=(2, 3))
    magnitude, theta = np.hypot(ix, iy), np.arctan2(iy, ix)
    window = np.maximum(0, 1 - np.abs(np.arange(1, 17) - 7.5) / 8)
    total = np.zeros_like(grey)
    for angle in np.arange(8) * np.pi / 4:
        plane = np.maximum(np.cos(theta - angle) ** 9, 0) * magnitude
        for axis in (0, 1):
            plane = np.apply_along_axis(lambda row: np.convolve(row, window)[8 : 8 + len(row)], axis, plane)
        for dy in (-4, 4):
            for dx in (-4, 4):
                total += plane[7 + dy : 7 + dy + grey.shape[0], 7 + dx : 7 + dx + grey.shape[1]]
    return total


def test_dsift_contrast_is_the_sum_of_the_dense_sift_descriptor() -> None:
    grey = texture(23, 34)
    expected = literal_descriptor_sum(grey)
    assert np.abs(dsift_ef._contrast(grey) - expected).max() < 1e-9 * expected.max()


def test_the_recursive_filter_keeps_a_flat_plane_and_does_not_cross_an_edge() -> None:
    guide = np.zeros((40, 60, 3))
    guide[:, 30:] = 1.0
    assert np.allclose(dsift_ef._refine(np.full((40, 60), 0.3), guide), 0.3)
    smoothed = dsift_ef._refine((np.arange(60) < 30).astype(float) * np.ones((40, 1)), guide)
    assert smoothed[:, :30].min() > 0.6 > 0.4 > smoothed[:, 30:].max()
    flat_guide = dsift_ef._refine((np.arange(60) < 30).astype(float) * np.ones((40, 1)), np.zeros_like(guide))
    assert np.ptp(flat_guide) < np.ptp(smoothed) / 2


@pytest.mark.parametrize("shape", [(40, 64), (33, 57), (33, 57, 2)])
def test_a_pyramid_comes_apart_and_together_again(shape: tuple[int, ...]) -> None:
    plane = np.random.default_rng(2).uniform(0, 1, shape)
    for levels in (1, 3, 4):
        pyramid = dem._laplacian_pyramid(plane, levels)
        assert len(pyramid) == levels
        assert np.allclose(dem._reconstruct(pyramid), plane)


def test_the_pyramid_keeps_a_flat_plane_flat_also_at_its_borders() -> None:
    bands = dem._laplacian_pyramid(np.full((37, 50), 0.6), 3)
    assert max(np.abs(band).max() for band in bands[:-1]) < 1e-12
    assert np.allclose(bands[-1], 0.6)


def test_dem_raises_the_darker_of_three_where_it_alone_has_detail() -> None:
    base = [texture(12, 12) * 0.5, np.full((12, 12), 0.5), np.full((12, 12), 0.9)]
    even = [np.full((12, 12), 1 / 3)] * 3
    lifted = dem._blend_base(even, base)
    plain = np.mean(base, axis=0)
    assert (lifted < plain).mean() > 0.9


def test_surviving_coefficients_are_those_that_jpeg_would_keep() -> None:
    block = (texture(8, 8, 5) * 255).astype(np.float32)
    transformed = cv2.dct(block - 128)
    kept = np.rint(transformed / dbm._QUANTISATION) != 0
    kept[0, 0] = False
    assert dbm.surviving_coefficients(block[None])[0] == kept.sum() > 5
    assert dbm.surviving_coefficients(np.full((1, 8, 8), 200, np.float32))[0] == 0


def test_dbm_trusts_the_bright_exposure_in_shadows_and_the_dark_one_in_highlights() -> None:
    shadows = np.full((3, 3), 5.0, np.float32), np.full((3, 3), 110.0, np.float32)
    highlights = np.full((3, 3), 110.0, np.float32), np.full((3, 3), 254.0, np.float32)
    dark, bright = dbm._brightness_trust(shadows)
    assert bright.min() > 5 * dark.max()
    dark, bright = dbm._brightness_trust(highlights)
    assert dark.min() > 5 * bright.max()
