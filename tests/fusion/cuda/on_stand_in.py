"""The GPU path's host side, end to end, on the stand-in driver: run by test_fuser.py in its own process."""

import mmap
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from livemef.fusion.cuda.fuser import CudaFuser
from livemef.fusion.errors import FusionError
from livemef.fusion.method import reference
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.motion.steadiness import Place, StreamMemory
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, noise, scene, series
from tests.fusion.cuda.curve_on_device import KERNELS, CurveOnDevice
from tests.fusion.cuda.host_kernels import HostFuser

still = partial(FusionSettings, motion="off")


def open_fuser(settings=None):
    return CudaFuser(CurveOnDevice(), settings or still(network_lines=20), KERNELS)


def by_host_kernels(pair, settings):
    out = np.empty_like(pair[0])
    HostFuser(Curve(), settings).fuse(pair, out)
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("lines", [0, 20])
@pytest.mark.parametrize("gamma", [0.8, "adaptive"])
@pytest.mark.parametrize("shape", [(1, 1), (51, 73), (64, 96)])
def test_pictures_are_those_of_the_host_kernels(shape, dtype, lines, gamma):
    settings = still(network_lines=lines, gamma=gamma)
    fuser, pair = open_fuser(settings), noise(*shape, dtype)
    wanted = by_host_kernels(pair, settings)
    for _ in range(3):
        np.testing.assert_array_equal(fuser.fuse(pair).pixels, wanted)


def test_stages_are_timed():
    stages = open_fuser().fuse(scene(50, 70)).stages_ms
    assert set(stages) == {"upload", "shrink", "network", "affine", "pixels", "download"}
    assert all(spent >= 0 for spent in stages.values())


def test_sizes_may_change_from_bracket_to_bracket():
    fuser, settings = open_fuser(), still(network_lines=20)
    for shape in ((50, 70), (30, 40), (50, 70), (60, 90)):
        pair = scene(*shape)
        np.testing.assert_array_equal(fuser.fuse(pair).pixels, by_host_kernels(pair, settings))


@pytest.mark.parametrize(
    ("changes", "same_memory"),
    [
        ({"gamma": 0.6}, True),
        ({"gamma": "adaptive"}, True),
        ({"colour": "lab", "chroma": "weighted"}, True),
        ({"shoulder": 3.0, "white": 0, "window_eps": 9.0}, True),
        ({"network_lines": 30}, False),
    ],
)
def test_settings_may_change_and_memory_is_kept_where_it_fits(changes, same_memory):
    before = still(network_lines=20, gamma=0.8)
    fuser, pair, after = open_fuser(before), scene(50, 70), replace(before, **changes)
    fuser.fuse(pair), fuser.fuse(pair)
    memory = [lane.buffers for lane in fuser._lanes]
    pending = fuser.begin(pair)
    fuser.change(after)
    np.testing.assert_array_equal(pending.finish().pixels, by_host_kernels(pair, before))
    for _ in range(2):
        np.testing.assert_array_equal(fuser.fuse(pair).pixels, by_host_kernels(pair, after))
    assert all((lane.buffers in memory) == same_memory for lane in fuser._lanes)
    fuser.change(before)
    np.testing.assert_array_equal(fuser.fuse(pair).pixels, by_host_kernels(pair, before))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("lines", [0, 20])
@pytest.mark.parametrize("count", [3, 4])
def test_more_exposures_in_one_pass(count, lines, dtype):
    settings, exposures = still(network_lines=lines), series(count, 50, 70, dtype)
    np.testing.assert_array_equal(open_fuser(settings).fuse(exposures).pixels, by_host_kernels(exposures, settings))


def test_more_exposures_than_the_kernels_take_are_refused_with_a_remedy():
    with pytest.raises(FusionError, match="up to 4 exposures, not 5: use --device cpu"):
        open_fuser().fuse(series(5, 50, 70))


def test_the_number_of_exposures_may_change():
    fuser, settings = open_fuser(), still(network_lines=20)
    for count in (2, 3, 2, 4):
        exposures = series(count, 50, 70)
        np.testing.assert_array_equal(fuser.fuse(exposures).pixels, by_host_kernels(exposures, settings))


def test_two_brackets_are_in_flight_and_do_not_mix():
    fuser, settings = open_fuser(), still(network_lines=20)
    brackets = [scene(50, 70, seed=seed) for seed in range(5)]
    pending = [fuser.begin(bracket) for bracket in brackets]
    for waiting, bracket in zip(reversed(pending), reversed(brackets), strict=True):
        fused = waiting.finish()
        np.testing.assert_array_equal(fused.pixels, by_host_kernels(bracket, settings))
        assert waiting.finish() is fused


def test_views_of_all_kinds_are_read():
    fuser, settings = open_fuser(), still(network_lines=20)
    pair = scene(50, 70)
    wanted = by_host_kernels(pair, settings)
    padded = [np.full((50, 80, 3), 7, np.uint8) for _ in pair]
    for buffer, picture in zip(padded, pair, strict=True):
        buffer[:, 3:73] = picture
    upside_down = [np.ascontiguousarray(picture[::-1])[::-1] for picture in pair]
    planar = [np.ascontiguousarray(picture.transpose(2, 0, 1)).transpose(1, 2, 0) for picture in pair]
    for views in ([buffer[:, 3:73] for buffer in padded], upside_down, planar):
        np.testing.assert_array_equal(fuser.fuse(views).pixels, wanted)


@pytest.mark.parametrize("padding", [0, 9])
def test_page_locked_pictures_are_read_and_written_in_place(padding):
    fuser, settings = open_fuser(), still(network_lines=20)
    pair = scene(50, 70)
    wanted = by_host_kernels(pair, settings)
    memory = np.frombuffer(mmap.mmap(-1, 1 << 17), np.uint8)
    rows = memory[: 2 * 50 * (70 + padding) * 3].reshape(2, 50, 70 + padding, 3)
    rows[:, :, :70] = pair
    views = [picture[:, :70] for picture in rows]
    with fuser.page_locked(memory):
        out = fuser.buffer_for(pair[0])
        pending = fuser.begin(views, out)
        # The device reads this very memory when the copy's turn has come: what is written until then counts.
        views[0][0, 0], views[1][0, 0] = 255 - pair[0][0, 0], 255 - pair[1][0, 0]
        changed = by_host_kernels([view.copy() for view in views], settings)
        fused = pending.finish()
        assert fused.pixels is out
        np.testing.assert_array_equal(out, changed)
        assert (changed != wanted).any()
    views[0][0, 0], views[1][0, 0] = pair[0][0, 0], pair[1][0, 0]
    np.testing.assert_array_equal(fuser.fuse(views).pixels, wanted)


def test_locking_ends_only_when_nothing_is_under_way():
    fuser = open_fuser()
    memory = np.frombuffer(mmap.mmap(-1, 1 << 16), np.uint8)
    views = [memory[start : start + 6000].reshape(40, 50, 3) for start in (0, 8192)]
    for view, picture in zip(views, scene(40, 50), strict=True):
        view[:] = picture
    with fuser.page_locked(memory):
        pending = fuser.begin(views)
    np.testing.assert_array_equal(
        pending.finish().pixels, by_host_kernels([view.copy() for view in views], fuser.settings)
    )


def test_memory_that_cannot_be_locked_is_copied(monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULT", "register")
    fuser, settings = open_fuser(), still(network_lines=20)
    pair = [picture.copy() for picture in scene(50, 70)]
    with fuser.page_locked(np.frombuffer(mmap.mmap(-1, 4096), np.uint8)):
        np.testing.assert_array_equal(fuser.fuse(pair).pixels, by_host_kernels(pair, settings))


def test_a_result_s_room_is_forgotten_with_it():
    fuser = open_fuser()
    before = len(fuser._locked)
    buffer = fuser.buffer_for(np.empty((50, 70, 3), np.uint8))
    view = buffer[:10]
    del buffer
    assert len(fuser._locked) == before + 1
    del view
    assert len(fuser._locked) == before


@pytest.mark.parametrize(
    ("fault", "words"), [("alloc", "not enough memory"), ("launch", "the GPU failed"), ("hang", "has not answered")]
)
def test_what_goes_wrong_on_the_device_is_one_line(monkeypatch, fault, words):
    monkeypatch.setattr("livemef.fusion.cuda.lane.WAIT_LIMIT_S", 0.2)
    fuser = open_fuser()
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(FusionError, match=words) as caught:
        fuser.fuse(scene(50, 70))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("fault", "words"), [("init", "no usable GPU"), ("none", "sees no GPU")])
def test_a_driver_without_a_device_is_one_line(monkeypatch, fault, words):
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(FusionError, match=words):
        open_fuser()


def test_kernels_that_the_driver_refuses_are_named(tmp_path):
    (tmp_path / "not.so").write_text("nothing")
    with pytest.raises(FusionError, match="livemef build --kernels"):
        CudaFuser(CurveOnDevice(), still(), tmp_path / "not.so")


def moving_bracket(dtype, count=2):
    pictures = scene(200, 260, dtype)
    pictures[1] = np.roll(pictures[1], 3, axis=1)
    pictures[1][60:90, 70:120] = np.iinfo(dtype).max // 5
    if count == 3:
        pictures.append(np.minimum(pictures[1] * 1.5, np.iinfo(dtype).max).astype(dtype))
    return pictures


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("lines", [0, 48])
@pytest.mark.parametrize("mode", ["full", "global"])
def test_motion_is_dealt_with_as_by_the_definition(dtype, count, lines, mode):
    settings, pictures = FusionSettings(network_lines=lines, motion=mode), moving_bracket(dtype, count)
    fuser = open_fuser(settings)
    wanted = reference.fuse(pictures, Curve(), settings)
    for _ in range(3):
        fused = fuser.fuse(pictures)
        assert fused.motion is not None
        assert fused.motion.share > 0 or mode == "global"
        assert fused.stages_ms["motion"] >= 0
        difference = np.abs(fused.pixels.astype(int) - wanted)
        assert (difference <= (2 if dtype == np.uint8 else 2 * 257)).mean() > 0.995


def test_moving_brackets_in_flight_do_not_mix():
    fuser = open_fuser(FusionSettings(network_lines=48, motion="full"))
    brackets = [moving_bracket(np.uint8), scene(200, 260, seed=3), moving_bracket(np.uint8)]
    alone = [fuser.fuse(bracket).pixels.copy() for bracket in brackets]
    pending = [fuser.begin(bracket) for bracket in brackets]
    for waiting, wanted in zip(pending, alone, strict=True):
        np.testing.assert_array_equal(waiting.finish().pixels, wanted)


def test_closing_gives_back():
    fuser = open_fuser()
    fuser.fuse(scene(50, 70))
    fuser.close()
    again = open_fuser()
    assert again.fuse(scene(50, 70)).pixels.shape == (50, 70, 3)


@pytest.mark.parametrize("count", [2, 3])
def test_a_stream_is_steadied_as_by_the_definition(count):
    settings, memory = FusionSettings(network_lines=20), StreamMemory()
    fuser, lights, held = open_fuser(settings), tuple(3.0**index for index in range(count)), {}
    for number in range(3 * count):
        index, shift = number % count, number // 2
        dark, bright = scene(60, 90, seed=1)
        picture = np.roll((dark, bright, np.minimum(1.3 * bright, 255).astype(np.uint8))[index], shift, axis=1)
        picture[20:30, 5 * number : 5 * number + 12] = 40 * (index + 1)
        held[index] = number, picture
        if len(held) == count:
            frames, pictures = zip(*(held[index] for index in range(count)), strict=True)
            moments = Moments(lights, index, Place(0, frames))
            wanted = reference.fuse(pictures, Curve(), settings, moments, memory)
            found = fuser.fuse(pictures, moments=moments).pixels
            assert (np.abs(found.astype(int) - wanted) <= 2).mean() > 0.99
