import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.method import downscale

sizes = st.integers(1, 60)


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(16, 300))
def test_the_small_picture_has_the_lines_and_the_aspect(height, width, lines):
    small_height, small_width = downscale.small_shape(height, width, lines)
    assert min(small_height, small_width) == min(lines, height, width)
    assert small_height <= height
    assert small_width <= width
    assert abs(small_width / width - small_height / height) <= 0.5 / min(height, width) + 1e-9 or lines < 16


@given(sizes, sizes, st.data())
def test_averages_keep_the_mean_and_a_flat_picture(height, width, data):
    small = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    pixels = np.random.default_rng(height * 61 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    average = downscale.area_average(pixels, *small)
    assert average.shape == (*small, 3)
    np.testing.assert_allclose(average.mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(downscale.area_average(np.full_like(pixels, 77), *small), 77, rtol=1e-12)


def test_whole_factors_are_block_means():
    pixels = np.random.default_rng(1).integers(0, 65536, (12, 20, 3), dtype=np.uint16)
    blocks = pixels.reshape(3, 4, 5, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(downscale.area_average(pixels, 3, 5), blocks, rtol=1e-12)


def test_fractions_of_pixels_count():
    pixels = np.array([0, 90, 30], np.uint8).reshape(1, 3, 1).repeat(3, axis=2)
    np.testing.assert_allclose(downscale.area_average(pixels, 1, 2)[0, :, 0], [(0 + 45) / 1.5, (45 + 30) / 1.5])


def test_rows_can_be_had_alone():
    pixels = np.random.default_rng(2).integers(0, 256, (37, 23, 3), dtype=np.uint8)
    whole = downscale.area_average(pixels, 11, 7)
    np.testing.assert_array_equal(downscale.area_average(pixels, 11, 7, 4, 9), whole[4:9])
    assert downscale.area_average(pixels, 37, 23) == pytest.approx(pixels)
