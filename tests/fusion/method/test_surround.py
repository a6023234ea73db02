from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from livemef.engine.open_net import open_net
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.method import colour_transfer
from livemef.fusion.method.surround import BLACK_RAMP, filled, surround
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import letterboxed, rounded, scene, series

still = partial(FusionSettings, motion="off")


def box(height=40, width=60, bar=6, inside=50.0):
    plane = np.zeros((height, width))
    plane[bar:-bar] = inside
    return plane


@pytest.mark.parametrize("turned", [False, True])
def test_bars_are_a_surround(turned):
    plane = box().T if turned else box()
    np.testing.assert_array_equal(surround(plane), plane == 0)


def test_what_is_round_is_cut_out():
    (plane,) = rounded([np.full((50, 70, 3), 60.0)])
    np.testing.assert_array_equal(surround(plane[..., 0]), plane[..., 0] == 0)


def test_what_is_black_inside_belongs_to_the_scene():
    plane = box()
    plane[15:20, 20:30] = 0
    assert (surround(plane)[15:20, 20:30] == 0).all()


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_picture_with_a_corner_that_is_not_black_has_none(corner):
    plane = box()
    plane[corner] = BLACK_RAMP[1]
    assert surround(plane) is None


def test_a_plane_without_surround_is_not_touched_and_a_surround_gets_what_is_inside():
    plane = box()
    plane[:, 30:] *= 0.5
    part = surround(plane)
    (result,) = filled([plane], part)
    np.testing.assert_array_equal(result[part == 0], plane[part == 0])
    assert 25 < result[0, -1] < 32
    assert 43 < result[0, 0] < 50


@given(arrays(np.float64, (7, 9), elements=st.floats(0, 4)), st.floats(0, 1e-3), st.integers(0, 62))
def test_a_pixel_that_changes_a_little_changes_the_surround_a_little(plane, more, place):
    after = plane.copy()
    after.flat[place] += more
    before, now = (np.zeros(plane.shape) if part is None else part for part in map(surround, (plane, after)))
    assert np.abs(now - before).max() <= more / (BLACK_RAMP[1] - BLACK_RAMP[0]) + 1e-12
    assert ((now >= 0) & (now <= 1)).all()


def test_all_black_is_all_surround():
    plane = np.zeros((5, 8))
    part = surround(plane)
    assert (part == 1).all()
    assert (filled([plane], part)[0] == 0).all()


@pytest.mark.parametrize("make", [partial(letterboxed, lines=16), rounded], ids=["letterbox", "round"])
@pytest.mark.parametrize("bracket", [scene(180, 270), series(3, 180, 270)], ids=["two", "three"])
def test_the_network_fuses_what_is_inside_as_without_surround(bracket, make):
    """Where the network takes the black for scene, 5 to 16 L* lie between them."""
    framed = make(bracket)
    inside = make([np.full_like(bracket[0], 255)])[0][..., 0] > 0
    with_it, without = (
        CpuFuser(open_net("cbm", "cpu", 1), still(), threads=1).fuse(each).pixels / 255.0 for each in (framed, bracket)
    )
    differs = colour_transfer.luma_lightness(with_it) - colour_transfer.luma_lightness(without)
    assert abs(differs[inside].mean()) < 2.5
    assert np.abs(differs[inside]).mean() < 2.5
    outside = colour_transfer.luma_lightness(with_it)[~inside]
    assert outside.mean() < 1


@pytest.mark.parametrize("black", [0, 3, 5, 6, 8])
def test_bars_that_are_nearly_black_do_not_glow(black):
    bars = letterboxed(scene(180, 270), 16, black)
    fused = CpuFuser(open_net("cbm", "cpu", 1), still(), threads=1).fuse(bars).pixels
    assert fused[:12].max() <= black + 4
