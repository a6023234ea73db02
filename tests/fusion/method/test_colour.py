import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from livemef.fusion.method import colour

# CIE 15 / published sRGB tables (D65, 2 degrees): linear BGR and L*, a*, b*.
KNOWN = {
    "white": ((1, 1, 1), (100, 0, 0)),
    "black": ((0, 0, 0), (0, 0, 0)),
    "red": ((0, 0, 1), (53.24, 80.09, 67.20)),
    "green": ((0, 1, 0), (87.73, -86.18, 83.18)),
    "blue": ((1, 0, 0), (32.30, 79.19, -107.86)),
    "yellow": ((0, 1, 1), (97.14, -21.55, 94.48)),
}
unit = st.floats(0, 1)
colours = arrays(np.float64, (8, 3), elements=unit)


@pytest.mark.parametrize(("bgr", "lab"), KNOWN.values(), ids=KNOWN)
def test_primaries_have_their_published_lab(bgr, lab):
    found = colour.lab_from_linear(np.array([bgr], float))
    np.testing.assert_allclose(np.ravel(found), lab, atol=0.02)


def test_the_matrix_is_the_standards_one():
    xyz = colour.XYZ_FROM_BGR * np.array([[0.95046], [1.0], [1.08906]])
    standard = [[0.1805, 0.3576, 0.4124], [0.0722, 0.7152, 0.2126], [0.9505, 0.1192, 0.0193]]
    np.testing.assert_allclose(xyz, standard, atol=2e-4)


def test_mid_grey_code_has_its_published_lightness():
    grey = colour.decode(np.full((1, 3), 119 / 255))
    np.testing.assert_allclose(np.ravel(colour.lab_from_linear(grey)), [50.03, 0, 0], atol=0.01)


@given(colours)
def test_lab_and_back(bgr):
    np.testing.assert_allclose(colour.linear_from_lab(*colour.lab_from_linear(bgr)), bgr, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_code_survives_decoding_and_encoding(dtype):
    codes = np.arange(int(np.iinfo(dtype).max) + 1).astype(dtype)
    again = colour.to_codes(colour.encode(colour.decode(colour.from_codes(codes))), codes.dtype)
    np.testing.assert_array_equal(again, codes)


@given(st.floats(0, 4))
def test_compression_and_its_inverse_agree_and_are_smooth_at_the_knee(value):
    assert colour.lab_f_inverse(colour.lab_f(np.array(value))) == pytest.approx(value, abs=1e-12)
    knee = colour.LAB_DELTA**3
    below, above = colour.lab_f(np.array([knee * (1 - 1e-9), knee * (1 + 1e-9)]))
    assert above - below < 1e-9


wild = arrays(np.float64, (6, 3), elements=st.floats(-2, 3))


@given(wild, arrays(np.float64, 6, elements=unit))
def test_limited_colours_are_in_gamut_and_keep_their_luminance(bgr, luminance):
    weights = colour.XYZ_FROM_BGR[1]
    bgr = bgr + (luminance - bgr @ weights)[:, None]  # adding grey: now each has its luminance
    limited = colour.limit_to_gamut(bgr, luminance)
    assert limited.min() >= 0
    assert limited.max() <= 1
    np.testing.assert_allclose(limited @ weights, luminance, atol=1e-6)


@given(wild, arrays(np.float64, 6, elements=unit))
def test_limiting_moves_straight_towards_grey(bgr, luminance):
    bgr = bgr + (luminance - bgr @ colour.XYZ_FROM_BGR[1])[:, None]
    before, after = bgr - luminance[:, None], colour.limit_to_gamut(bgr, luminance) - luminance[:, None]
    assert np.abs(np.cross(before, after)).max() < 1e-9  # same direction from grey: same dominant wavelength
    assert (np.einsum("ij,ij->i", before, after) >= -1e-12).all()


@given(colours)
def test_colours_within_the_gamut_are_left_alone(bgr):
    luminance = bgr @ colour.XYZ_FROM_BGR[1]
    np.testing.assert_allclose(colour.limit_to_gamut(bgr, luminance), bgr, atol=1e-9)


def test_limiting_has_no_jump_where_the_lab_gamut_has_a_spike():
    """Around yellow at L* 96, chroma scaled at constant hue would fall from 85 to 40 within a fraction of a degree."""
    hue = np.radians(np.linspace(98, 106, 4001))
    lightness = np.full_like(hue, 96.0)
    bgr = colour.linear_from_lab(lightness, 90 * np.cos(hue), 90 * np.sin(hue))
    luminance = colour.lab_f_inverse((lightness + 16) / 116)
    _, a, b = colour.lab_from_linear(colour.limit_to_gamut(bgr, luminance))
    assert np.abs(np.diff(np.hypot(a, b))).max() < 1.0


def test_tables_hold_the_functions():
    np.testing.assert_allclose(colour.decode_table(256)[119], colour.decode(np.array(119 / 255)), rtol=1e-6)
    roots = np.linspace(0, 1, 4096 * 8 + 1)
    interpolated = np.interp(roots, np.linspace(0, 1, 4097), colour.encode_table(4096))
    assert np.abs(interpolated - colour.encode(roots**2)).max() < 1e-6
