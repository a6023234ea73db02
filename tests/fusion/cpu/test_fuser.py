import itertools
from functools import partial

import cv2
import numpy as np
import pytest

from livemef.fusion.cpu import tiling
from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.row_kernels import NumpyLoops
from livemef.fusion.errors import FusionError
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.method import reference
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, Mean, extremes, letterboxed, noise, rounded, scene, series

still = partial(FusionSettings, motion="off")

LOOPS = [
    pytest.param(NumpyLoops, id="numpy"),
    pytest.param(
        CompiledLoops,
        id="compiled",
        marks=pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here"),
    ),
]
TONES = [(0, 0.95, 95), (48, 0.95, 95), (0, "adaptive", 0), (48, 1.0, 0)]
MODES = [
    still(network_lines=lines, chroma=rule, gamma=gamma, colour=transfer, white=0)
    for lines, rule, (gamma, transfer) in itertools.product(
        (0, 48), ("select", "weighted"), ((0.85, "chromaticity"), ("adaptive", "lab"))
    )
] + [still(network_lines=lines, gamma=gamma, white=white) for lines, gamma, white in TONES]


def _assert_close(found, wanted):
    assert found.dtype == wanted.dtype
    difference = np.abs(found.astype(int) - wanted)
    assert (difference <= 1).mean() >= 0.999, f"{(difference > 1).mean():.2%} differ, by up to {difference.max()}"


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("make", [scene, noise, extremes])
@pytest.mark.parametrize("settings", MODES, ids=lambda s: f"{s.network_lines}-{s.chroma}-{s.gamma}-{s.colour}")
def test_the_fast_path_is_within_a_code_of_the_definition(loops, dtype, make, settings):
    pair = make(101, 275, dtype)
    fused = CpuFuser(Curve(), settings, threads=2, loops=loops()).fuse(pair).pixels
    _assert_close(fused, reference.fuse(pair, Curve(), settings))


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("make", [partial(letterboxed, lines=14), partial(letterboxed, lines=14, black=5), rounded])
@pytest.mark.parametrize("count", [2, 3])
def test_black_surrounds_are_those_of_the_definition(loops, make, count):
    exposures, settings = make(series(count, 101, 275)), still(network_lines=48)
    net = Mean()
    found = CpuFuser(net, settings, threads=2, loops=loops()).fuse(exposures).pixels
    _assert_close(found, reference.fuse(exposures, net, settings))


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 1), (2, 3), (17, 16), (135, 241)])
@pytest.mark.parametrize("lines", [0, 16])
def test_odd_and_tiny_pictures(loops, shape, lines):
    settings = still(network_lines=lines)
    pair = noise(*shape, np.uint16)
    fused = CpuFuser(Curve(), settings, threads=2, loops=loops()).fuse(pair).pixels
    _assert_close(fused, reference.fuse(pair, Curve(), settings))


@pytest.mark.parametrize("loops", LOOPS)
def test_the_pixels_do_not_depend_on_the_threads(loops):
    pair = scene(90, 130)
    fused = [CpuFuser(Curve(), still(network_lines=32), n, loops()).fuse(pair).pixels for n in (1, 2, 3, 7)]
    for other in fused[1:]:
        np.testing.assert_array_equal(other, fused[0])


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_padded_reversed_and_unpacked_pictures_are_read_in_place(loops, dtype):
    pair = scene(50, 70, dtype)
    fuser = CpuFuser(Curve(), still(network_lines=20), 2, loops())
    wanted = fuser.fuse(pair).pixels
    padded = [np.full((50, 80, 3), 7, dtype) for _ in pair]
    upside_down = [np.ascontiguousarray(picture[::-1])[::-1] for picture in pair]
    planar = [np.ascontiguousarray(picture.transpose(2, 0, 1)).transpose(1, 2, 0) for picture in pair]
    for buffer, picture in zip(padded, pair, strict=True):
        buffer[:, 3:73] = picture
    for views in ([buffer[:, 3:73] for buffer in padded], upside_down, planar):
        for view in views:
            view.flags.writeable = False
        np.testing.assert_array_equal(fuser.fuse(views).pixels, wanted)


@pytest.mark.parametrize("loops", LOOPS)
def test_the_result_can_go_to_the_callers_buffer_and_nowhere_else(loops):
    pair = scene(50, 70)
    fuser = CpuFuser(Curve(), still(network_lines=20), 2, loops())
    buffer = np.full((52, 90, 3), 9, np.uint8)
    fused = fuser.fuse(pair, out=buffer[1:51, 10:80]).pixels
    np.testing.assert_array_equal(fused, fuser.fuse(pair).pixels)
    assert np.shares_memory(fused, buffer)
    outside = np.ones(buffer.shape[:2], bool)
    outside[1:51, 10:80] = False
    assert (buffer[outside] == 9).all()


def test_a_buffer_that_does_not_fit_is_refused():
    pair = scene(20, 30)
    fuser = CpuFuser(Curve(), still())
    for wrong in (np.empty((20, 31, 3), np.uint8), np.empty((20, 30, 3), np.uint16), np.empty((3, 20, 30), np.uint8).T):
        with pytest.raises(FusionError, match="out is"):
            fuser.fuse(pair, out=wrong)


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("settings", [MODES[0], *MODES[4:8], *MODES[8:]], ids=lambda s: f"{s.network_lines}-{s.colour}")
def test_more_exposures_in_one_pass_are_within_a_code_of_the_definition(loops, dtype, count, settings):
    exposures = series(count, 61, 135, dtype)
    fused = CpuFuser(Curve(), settings, 2, loops()).fuse(exposures).pixels
    _assert_close(fused, reference.fuse(exposures, Curve(), settings))


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("make", [noise, extremes])
@pytest.mark.parametrize("count", [3, 4, 6])
def test_exposures_that_have_nothing_in_common_are_within_a_code_too(loops, make, count):
    exposures = [picture for seed in range(count) for picture in make(40, 70, np.uint8, seed)][:count]
    for settings in (still(network_lines=20), still(network_lines=0, colour="chromaticity")):
        fused = CpuFuser(Curve(), settings, 2, loops()).fuse(exposures).pixels
        _assert_close(fused, reference.fuse(exposures, Curve(), settings))


def test_more_exposures_than_the_compiled_loops_take():
    exposures = [scene(30, 40, seed=seed)[0] for seed in range(18)]
    fused = CpuFuser(Curve(), still(network_lines=20), 2).fuse(exposures).pixels
    _assert_close(fused, reference.fuse(exposures, Curve(), still(network_lines=20)))


def test_the_network_sees_the_lines_it_was_promised():
    net = Curve()
    fuser = CpuFuser(net, still(network_lines=30), 2)
    fuser.fuse(scene(90, 160))
    assert net.shapes == [(30, 53)]


def test_the_stages_are_timed():
    stages = CpuFuser(Curve(), still(network_lines=30), 2).fuse(scene(90, 160)).stages_ms
    assert set(stages) == {"shrink", "network", "affine", "pixels"}
    assert all(spent > 0 for spent in stages.values())


class Blur:
    """A LightnessNet that reaches as far as a tile's overlap, and not further."""

    sha256, name, multiple = "2" * 64, "blur", 16

    def __call__(self, dark, bright):
        reach = tiling.OVERLAP_MULTIPLES * self.multiple
        return cv2.blur(0.5 * dark + 0.5 * bright, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REPLICATE)


def test_tiles_give_what_the_whole_picture_would():
    pair = scene(330, 610)
    settings = still(network_lines=0)
    whole = CpuFuser(Blur(), settings, 2).fuse(pair).pixels
    tiled = CpuFuser(Blur(), settings, 2, tile=256).fuse(pair).pixels
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.max() <= 1  # running sums of the blur round differently
    assert (difference == 0).mean() > 0.99
