from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from livemef.engine.ablation import cut, measure_fusion, without_slope
from livemef.engine.dataset import Stack, open_cache, write_index, write_stack
from livemef.engine.errors import EngineError

pytestmark = pytest.mark.full

SHARES = {"mitm": 1.0}


def cache_of(folder: Path, dark, bright, target):
    write_stack(folder, "a.npy", [plane.astype(np.float32) for plane in (dark, bright, target)])
    write_index(folder, ("mitm",), [Stack("a.npy", "a", "a", (0, 1), (0.0, 3.0))])
    return open_cache(folder)


def test_the_error_of_the_most_varied_tenth_is_that_of_its_patches(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target = np.full((96, 352), 0.5)  # 3 x 11 patches of 32 pixels: a tenth is 3 of them
    target[:, :32] = rng.choice([0.1, 0.9], (96, 32))
    cache = cache_of(tmp_path, np.full_like(target, 0.6), np.full_like(target, 0.6), target)
    off = np.full_like(target, 0.02)
    off[:, :32] = 0.05
    answer = torch.from_numpy(target + off * np.where(target > 0.5, -1, 1)).float()[None, None]
    found = measure_fusion(lambda planes: answer, cache, cache.entries, SHARES)
    assert found.top_error == pytest.approx(5.0, abs=0.01)
    assert found.error == pytest.approx((5.0 * 3 + 2.0 * 30) / 33, abs=0.01)
    assert found.flat_patches == 0
    assert np.isnan(found.noise_gain)


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_noise_in_dark_flat_patches_is_measured_without_their_slopes(tmp_path: Path, gain: float) -> None:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:96, 0:128] / 100.0
    ramp, noise = 0.08 + 0.1 * x * (y < 0.6), rng.normal(0, 0.005, (96, 128))
    bright = np.where(y < 0.6, ramp + noise, 0.8)  # the lower third is bright, and does not count
    cache = cache_of(tmp_path, bright / 4, bright, bright)
    answer = torch.from_numpy(2 * ramp + gain * noise).float()[None, None]
    found = measure_fusion(lambda planes: answer, cache, cache.entries, SHARES)
    assert found.flat_patches > 10
    assert found.noise_gain == pytest.approx(gain, rel=0.03)


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5))
def test_a_plane_leaves_nothing_behind(down: float, across: float, level: float) -> None:
    y, x = np.mgrid[0:16, 0:16]
    np.testing.assert_allclose(without_slope((level + down * y + across * x)[None]), 0, atol=1e-9)


def test_patches_are_whole_and_in_place() -> None:
    plane = np.arange(5 * 7, dtype=float).reshape(5, 7)
    np.testing.assert_array_equal(cut(plane, 2)[4], [[16, 17], [23, 24]])
    assert cut(plane, 2).shape == (6, 2, 2)


def test_pictures_that_are_too_small_are_refused(tmp_path: Path) -> None:
    tiny = np.full((20, 20), 0.5)
    cache = cache_of(tmp_path, tiny, tiny, tiny)
    with pytest.raises(EngineError, match="44 pixels"):
        measure_fusion(lambda planes: planes[:, :1], cache, cache.entries, SHARES)
