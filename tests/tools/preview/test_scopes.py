import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.tools.preview.scopes import WAVEFORM_COLUMNS, WAVEFORM_ROWS, scope_of


def test_a_ramp_has_a_flat_histogram_and_a_rising_waveform():
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (64, 1))[..., None], 3, axis=2)
    scope = scope_of(ramp)
    assert scope.pixels == 64 * 256
    for counts in scope.histogram.values():
        assert counts == [64] * 256
    brightest = np.argmax(scope.waveform, axis=0)
    np.testing.assert_array_equal(brightest, WAVEFORM_ROWS - 1 - np.arange(256) // 2)


def test_channels_are_told_apart_and_sixteen_bits_are_rounded():
    pixels = np.zeros((40, 60, 3), np.uint16)
    pixels[...] = (1 * 257, 100 * 257, 255 * 257)  # blue, green, red
    scope = scope_of(pixels)
    found = {name: int(np.argmax(counts)) for name, counts in scope.histogram.items()}
    assert found == {"b": 1, "g": 100, "r": 255, "y": round(0.0722 * 1 + 0.7152 * 100 + 0.2126 * 255)}


def test_shares_of_clipped_and_dark():
    pixels = np.full((100, 100, 3), 120, np.uint8)
    pixels[:25] = 255
    pixels[75:] = 1
    scope = scope_of(pixels)
    assert scope.clipped == pytest.approx(0.25, abs=0.02)
    assert scope.dark == pytest.approx(0.25, abs=0.02)


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 255))
def test_any_size_works_and_every_pixel_is_counted_once(height, width, level):
    scope = scope_of(np.full((height, width, 3), level, np.uint8))
    assert scope.waveform.shape == (WAVEFORM_ROWS, WAVEFORM_COLUMNS)
    assert np.all(scope.waveform.max(axis=0) == 255), "each column of the waveform shows some"
    assert all(sum(counts) == scope.pixels and counts[level] == scope.pixels for counts in scope.histogram.values())


def test_a_grey_picture_is_taken_too():
    assert scope_of(np.full((10, 10), 7, np.uint8)).histogram["y"][7] == 100
