"""The kernels' arithmetic, on the host, against the definition."""

import ctypes
import itertools
from functools import partial

import numpy as np
import pytest

from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.row_kernels import NumpyLoops
from livemef.fusion.cuda import launch_layout
from livemef.fusion.cuda.kernel_argument import Bracket
from livemef.fusion.cuda.launch_layout import BracketLayout
from livemef.fusion.method import reference
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, Mean, extremes, letterboxed, noise, rounded, scene, series
from tests.fusion.cuda.host_kernels import HostFuser, host_library

pytestmark = pytest.mark.full

still = partial(FusionSettings, motion="off")

TONES = [(0, 0.95, 95), (48, 0.95, 95), (0, "adaptive", 0), (48, 1.0, 0)]
MODES = [
    still(network_lines=lines, chroma=rule, gamma=gamma, colour=transfer, white=0)
    for lines, rule, (gamma, transfer) in itertools.product(
        (0, 48), ("select", "weighted"), ((0.85, "chromaticity"), ("adaptive", "lab"))
    )
] + [still(network_lines=lines, gamma=gamma, white=white) for lines, gamma, white in TONES]


class HalfCurve(Curve):
    """What the network's fp16 input and output make of the curve."""

    def __call__(self, dark, bright):
        rounded = [plane.astype(np.float16).astype(np.float32) for plane in (dark, bright)]
        return super().__call__(*rounded).astype(np.float16).astype(np.float32)


def assert_close(found, wanted):
    difference = np.abs(found.astype(int) - wanted)
    assert (difference <= 1).mean() >= 0.9999, f"{(difference > 1).sum()} samples differ, by up to {difference.max()}"


def fused(pair, settings, net=None, half=False):
    out = np.full_like(pair[0], 171)
    HostFuser(net or Curve(), settings, half).fuse(pair, out)
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("make", [scene, noise, extremes])
@pytest.mark.parametrize("settings", MODES, ids=lambda s: f"{s.network_lines}-{s.chroma}-{s.gamma}-{s.colour}")
def test_kernels_are_within_a_code_of_the_definition(dtype, make, settings):
    pair = make(101, 275, dtype)
    assert_close(fused(pair, settings), reference.fuse(pair, Curve(), settings))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("settings", MODES, ids=lambda s: f"{s.network_lines}-{s.chroma}-{s.gamma}-{s.colour}")
def test_more_exposures_in_one_pass_are_within_a_code_of_the_definition(dtype, count, settings):
    for exposures in (series(count, 101, 275, dtype), [noise(101, 275, dtype, seed)[0] for seed in range(count)]):
        assert_close(fused(exposures, settings), reference.fuse(exposures, Curve(), settings))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("make", [partial(letterboxed, lines=14), partial(letterboxed, lines=14, black=5), rounded])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("gamma", [0.95, "adaptive"])
def test_black_surrounds_are_those_of_the_definition(make, count, gamma, half):
    exposures, settings = make(series(count, 101, 275)), still(network_lines=48, gamma=gamma)
    found = fused(exposures, settings, Mean(), half).astype(int)
    wanted = reference.fuse(exposures, Mean(), settings)
    difference = np.abs(found - wanted)  # of half black bars a little more is filled or less, which moves the mean
    assert (difference <= 1).mean() > 0.99
    assert difference.max() <= 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 1), (2, 3), (17, 16), (135, 241), (90, 160)])
@pytest.mark.parametrize("lines", [0, 16, 90])
@pytest.mark.parametrize("gamma", [0.7, "adaptive"])
def test_odd_and_tiny_pictures(shape, dtype, lines, gamma):
    settings = still(network_lines=lines, gamma=gamma)
    pair = noise(*shape, dtype)
    assert_close(fused(pair, settings), reference.fuse(pair, Curve(), settings))


@pytest.mark.parametrize("radius", [1, 9, 64])
@pytest.mark.parametrize("eps", [1e-6, 0.25, 100.0])
def test_windows_of_every_size(radius, eps):
    settings = still(network_lines=40, window_radius=radius, window_eps=eps)
    pair = scene(90, 133)
    assert_close(fused(pair, settings), reference.fuse(pair, Curve(), settings))


@pytest.mark.parametrize("lines", [0, 48])
def test_a_network_in_half_precision(lines):
    settings = still(network_lines=lines)
    pair = scene(101, 275)
    assert_close(fused(pair, settings, half=True), reference.fuse(pair, HalfCurve(), settings))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("start", range(4))
def test_padded_rows_at_any_address_and_nothing_written_beside_them(dtype, start):
    pair = scene(50, 70, dtype)
    settings = still(network_lines=20)
    wanted = fused(pair, settings)
    buffers = [np.full((50, 80, 3), 7, dtype) for _ in range(3)]
    views = [buffer[:, start : start + 70] for buffer in buffers]
    for view, picture in zip(views, pair, strict=False):
        view[:] = picture
    HostFuser(Curve(), settings).fuse(views[:2], views[2])
    np.testing.assert_array_equal(views[2], wanted)
    beside = np.ones(80, bool)
    beside[start : start + 70] = False
    assert (buffers[2][:, beside] == 7).all()


@pytest.mark.parametrize("lines", [0, 20])
def test_the_result_may_take_the_place_of_an_exposure(lines):
    pair = scene(50, 71)
    settings = still(network_lines=lines)
    wanted = fused(pair, settings)
    under = pair[0].copy()
    HostFuser(Curve(), settings).fuse([under, pair[1]], under)
    np.testing.assert_array_equal(under, wanted)


@pytest.mark.parametrize("shape", [(1080, 1920), (2160, 3840)])
def test_large_pictures(shape):
    settings = still()
    pair = scene(*shape)
    found = fused(pair, settings)
    by_definition = CpuFuser(Curve(), settings, loops=NumpyLoops()).fuse(pair).pixels
    assert_close(found, by_definition)


def test_tables_lead_to_the_end_of_the_scale():
    for itemsize in (1, 2):
        tables = launch_layout.tables(itemsize)
        assert tables["encode"][-1, 0] == 256**itemsize - 1
        assert tables["encode"][0].tolist()[0] == 0
        np.testing.assert_allclose(tables["decode_fine"][1:, 0], tables["decode_fine"][:-1].sum(axis=1), atol=1e-6)


def test_planes_do_not_overlap():
    sizes = BracketLayout(101, 275, 1, still(), 16, True, 3).planes()
    places, total = launch_layout.offsets(sizes)
    ends = [places[name] + size for name, size in sizes.items()]
    assert all(end <= start for end, start in zip(ends, [*list(places.values())[1:], total], strict=True))
    assert all(place % launch_layout.ALIGNMENT == 0 for place in places.values())


def test_the_kernels_see_the_struct_that_python_fills():
    size = ctypes.c_uint.in_dll(host_library(), "bracket_bytes").value
    assert ctypes.sizeof(Bracket) == size
