"""Streams: what is learned of the exposures, what counts as changed, and that nothing alternates."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.cameras.simulation.sensor import SensorModel
from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.row_kernels import NumpyLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.method import reference as definition
from livemef.fusion.metrics.steadiness import lightness, pulse
from livemef.fusion.motion import ghost_mask, intensity_mapping, temporal_noise
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.motion.intensity_mapping import KNOTS
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.mean_lightness import MeanLightness
from livemef.fusion.motion.steadiness import Place, StreamMemory
from livemef.fusion.motion.views import View
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve
from tests.fusion.motion.moving_scenes import Stage, random_case

needs_compiled = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")
SMALL = {"height": 144, "width": 256}
RESPONSES = {
    "linear": {"response": "linear", "black": 0},
    "gamma 1.8": {"response": "curve", "gamma": 1.8},
    "contrast .6": {"response": "curve", "contrast": 0.6},
    "black offset of 8 codes": {"response": "linear", "black": 128, "adc": 12},
}
"""128 of 4096 is 8 of 256."""


def brackets(stage, count):
    """Brackets of a stage as of a stream, from the first whole one: exposures dark to bright, and their moments."""
    for newest in range(1, count + 1):
        frames = tuple(newest - (newest - index) % 2 for index in (0, 1))
        yield [stage.take(number) for number in frames], Moments(stage.case.lights, newest % 2, Place(0, frames))


def noisy(frames, deviation, seed=0):
    """Frames (BGR uint8) with noise of their own."""
    rng = np.random.default_rng(seed)
    return [np.clip(frame + rng.normal(0, deviation, frame.shape), 0, 255).round().astype(np.uint8) for frame in frames]


@pytest.mark.parametrize("name", RESPONSES)
def test_a_still_scene_is_not_masked_whatever_the_response(name):
    """With metadata that states the ratio of light, and a response that nobody states."""
    case = replace(random_case(3, "still", **SMALL), ev_gap=3.0)
    stage = Stage(case, SensorModel(full_well=30000.0, **RESPONSES[name]))
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=48), 2)
    shares = [fuser.fuse(exposures, moments=moments).motion.share for exposures, moments in brackets(stage, 8)]
    assert max(shares[2:]) < 0.01


def test_a_sky_that_the_camera_renders_softly_does_not_move_in_the_first_brackets():
    """Known light 8 times as much would be white; the camera's curve ends in a shoulder: codes 190 to 212. No
    light lies between the ground's and the sky's: there the known ratio alone says what a brighter exposure shows.
    """
    rng = np.random.default_rng(4)
    sky = np.linspace(0.3, 0.6, 72)[:, None, None] * np.array([1.1, 1.0, 0.95]) * np.ones((72, 256, 1))
    light = np.vstack([sky, 0.12 * rng.uniform(0.2, 1.0, (72, 256, 3))])
    exposures = [212 * (1 - np.exp(-gain * light)) ** 0.45 for gain in (0.6, 4.8)]
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=48), 2)
    for newest in range(1, 5):
        frames = tuple(newest - (newest - index) % 2 for index in (0, 1))
        pictures = noisy(exposures, 1.5, newest)
        fused = fuser.fuse(pictures, moments=Moments((1.0, 8.0), newest % 2, Place(0, frames)))
        assert fused.motion.share < 0.01


def test_the_noise_of_the_night_is_no_motion_and_does_not_pulse():
    case = random_case(5, "still", **SMALL)
    case = replace(case, ev_gap=3.0, scene=replace(case.scene, radiance=case.scene.radiance * np.float32(0.05)))
    stage = Stage(case, SensorModel(full_well=1500.0, read_noise=4.0, row_noise=0.5))
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=48), 2)
    fused = [fuser.fuse(exposures, moments=moments) for exposures, moments in brackets(stage, 14)]
    assert max(one.motion.share for one in fused[2:]) < 0.01
    assert pulse([lightness(one.pixels).mean() for one in fused[2:]]) < 0.05


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_mean_lightness_does_not_alternate(count):
    """Twelve brackets of a scene through exposures that do not agree: each has a tint and an offset of its own."""
    rng = np.random.default_rng(2)
    scene = np.kron(rng.uniform(0.05, 1, (12, 16, 3)), np.ones((8, 8, 1)))
    base = [255 * np.clip(scene * 2.0 ** (2 * index - 3) + 0.01 * index, 0, 1) ** (1 / 2) for index in range(count)]
    held, means = {}, []
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=32), 2)
    lights = tuple(4.0**index for index in range(count))
    for number in range(count - 1 + 12 + count):
        index = number % count
        held[index] = number, noisy([base[index]], 1.0, number)[0]
        if len(held) == count:
            frames, pictures = zip(*(held[index] for index in range(count)), strict=True)
            fused = fuser.fuse(pictures, moments=Moments(lights, index, Place(0, frames)))
            means.append(lightness(fused.pixels).mean())
    assert pulse(means[count:]) < 0.05


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_stream_on_the_fast_path_is_that_of_the_definition(dtype):
    case = random_case(1, "shake and objects", **SMALL)
    stage, memory = Stage(case), StreamMemory()
    chosen = FusionSettings(network_lines=36)
    fuser = CpuFuser(Curve(), chosen, 2)
    for exposures, moments in brackets(stage, 4):
        pictures = [picture.astype(dtype) * (np.iinfo(dtype).max // 255) for picture in exposures]
        fused = fuser.fuse(pictures, moments=moments)
        wanted = definition.fuse(pictures, Curve(), chosen, moments, memory)
        code = 1 if dtype == np.uint8 else 257
        assert (np.abs(fused.pixels.astype(int) - wanted) <= 2 * code).mean() > 0.99


def test_a_new_plan_size_or_camera_begins_anew():
    case = random_case(3, "still", **SMALL)
    stage, chosen = Stage(case), FusionSettings(network_lines=48)
    given_all = list(brackets(stage, 5))
    fuser = CpuFuser(Curve(), chosen, 2)
    for exposures, moments in given_all:
        fuser.fuse(exposures, moments=moments)
    exposures, moments = given_all[-1]
    first = CpuFuser(Curve(), chosen, 2).fuse(exposures, moments=moments).pixels
    again = fuser.fuse(exposures, moments=moments).pixels  # frame numbers that do not go on: the camera was reopened
    np.testing.assert_array_equal(again, first)
    later = replace(moments, place=Place(1, tuple(frame + 10 for frame in moments.place.frames)))
    np.testing.assert_array_equal(fuser.fuse(exposures, moments=later).pixels, first)
    smaller = [picture[:100].copy() for picture in exposures]
    later = replace(later, place=Place(1, tuple(frame + 20 for frame in moments.place.frames)))
    np.testing.assert_array_equal(
        fuser.fuse(smaller, moments=later).pixels, CpuFuser(Curve(), chosen, 2).fuse(smaller, moments=later).pixels
    )


def test_a_bracket_that_was_left_out_is_no_trouble():
    case = random_case(1, "objects", **SMALL)
    given_all = list(brackets(Stage(case), 7))
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=48), 2)
    for number in (0, 1, 4, 6):
        exposures, moments = given_all[number]
        assert fuser.fuse(exposures, moments=moments).motion.share < 0.3


def test_stills_are_fused_as_if_no_stream_had_been_there():
    case = random_case(1, "objects", **SMALL)
    stage, chosen = Stage(case), FusionSettings(network_lines=48)
    fuser = CpuFuser(Curve(), chosen, 2)
    for exposures, moments in brackets(stage, 4):
        fuser.fuse(exposures, moments=moments)
    pictures = stage.bracket(6)[0]
    np.testing.assert_array_equal(fuser.fuse(pictures).pixels, CpuFuser(Curve(), chosen, 2).fuse(pictures).pixels)


@given(st.floats(2, 60), st.floats(1.0, 3.0), st.floats(0, 0.06))
def test_the_known_response_leads_there_and_back(ratio, gamma, black):
    light = np.clip((np.linspace(0, 1, KNOTS + 1) - black) / (1 - black), 0, 1) ** gamma
    maps = intensity_mapping.of_response(ratio, light)
    values = np.linspace(black + 0.05, 0.9, 60)
    brighter = np.interp(values, np.linspace(0, 1, KNOTS + 1), maps.brighter)
    back = np.interp(brighter, np.linspace(0, 1, KNOTS + 1), maps.darker)
    np.testing.assert_allclose(back[brighter < 0.99], values[brighter < 0.99], atol=0.01)
    wanted = np.minimum(((values - black) / (1 - black)) ** gamma * ratio, 1)
    np.testing.assert_allclose(((brighter - black) / (1 - black)) ** gamma, wanted, atol=0.01)


def test_the_pictures_decide_where_they_were_seen_and_the_ratio_elsewhere():
    dark = np.random.default_rng(0).uniform(0.1, 0.4, (60, 80, 3)).astype(np.float32)
    bright = np.stack([np.minimum(dark[..., c] * (2.0, 2.2, 1.8)[c] + 0.03, 1) for c in range(3)], axis=-1)
    known = (intensity_mapping.of_light_ratio(4.0),) * 3
    counted = intensity_mapping.histograms(dark), intensity_mapping.histograms(bright)
    maps = intensity_mapping.learned(*counted, known, dark[..., 0].size)
    for c, slope in enumerate((2.0, 2.2, 1.8)):
        found = intensity_mapping.at(maps[c].brighter, np.float32([0.15, 0.25, 0.35]))
        np.testing.assert_allclose(found, np.array([0.15, 0.25, 0.35]) * slope + 0.03, atol=0.02)
        unseen = np.float32([0.8])
        assert intensity_mapping.at(maps[c].brighter, unseen) == pytest.approx(1, abs=1e-3)
        assert (np.diff(maps[c].brighter) >= 0).all()
    assert intensity_mapping.at(maps[1].brighter, np.float32([0.02])) == pytest.approx(
        intensity_mapping.at(known[1].brighter, np.float32([0.02])), abs=0.01
    )


@needs_compiled
@pytest.mark.parametrize("shape", [(1, 1), (2, 31), (40, 32), (120, 200)])
def test_the_compiled_changes_are_those_of_the_definition(shape):
    rng = np.random.default_rng(1)
    before = rng.uniform(0, 1, (*shape, 3)).astype(np.float32)
    grid = np.clip(before + rng.normal(0, 0.01, before.shape), 0, 1).astype(np.float32)
    grid[: shape[0] // 2, shape[1] // 3 :] = 0.5
    noise = np.linspace(0.003, 0.01, ghost_mask.LEVELS).astype(np.float32)
    found, wanted = CompiledLoops().changes(grid, before, noise), ghost_mask.changes(grid, before, noise)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert NumpyLoops.changes is ghost_mask.changes
    np.testing.assert_array_equal(CompiledLoops().histograms(grid), intensity_mapping.histograms(grid))
    curves = np.sort(rng.uniform(0, 1, (3, KNOTS + 1)), axis=1)
    levels = CompiledLoops().median_level(grid, curves), intensity_mapping.median_level(grid, curves)
    np.testing.assert_allclose(*levels, rtol=1e-6)


@needs_compiled
def test_the_compiled_disagreement_beside_clipping_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    under = rng.uniform(0.1, 0.6, (40, 70, 3)).astype(np.float32)
    over = np.clip(1.9 * under + rng.normal(0, 0.05, under.shape), 0, 1).astype(np.float32)
    maps = tuple(intensity_mapping.of_light_ratio(ratio) for ratio in (3.0, 3.5, 4.0))
    least = [np.full(KNOTS + 1, 1e-5)] * 3
    for spoilt, clips_at in ((0.0, 1.0), (ghost_mask.SPOILT, 1.0), (ghost_mask.SPOILT, 0.9)):
        allowed = ghost_mask.allowed_by_channel(under, over, maps, least, spoilt=spoilt)
        allowed = replace(allowed, clips_at=clips_at)
        gate = np.zeros(under.shape[:2], np.float32)
        gate[10:30, 20:60] = 0.7
        for one in (None, gate):
            found = CompiledLoops().disagreement(under, over, allowed, one)
            np.testing.assert_allclose(found, ghost_mask.disagreement(under, over, allowed, one), rtol=1e-4, atol=1e-4)


def test_the_noise_is_found_and_motion_does_not_enlarge_it_at_once():
    rng = np.random.default_rng(4)
    scene = rng.uniform(0.1, 0.9, (90, 160, 3))
    frames = [(scene + rng.normal(0, 0.008, scene.shape)).astype(np.float32) for _ in range(12)]
    noise = None
    for old, new in itertools.pairwise(frames):
        noise = temporal_noise.followed(noise, new, old)
    np.testing.assert_allclose(noise[2:14], 0.008, rtol=0.25)
    moved = temporal_noise.followed(noise, np.roll(frames[-1], 9, axis=1), frames[-1])
    assert (moved <= noise + 0.4 * temporal_noise.RISING).all()  # no cells differ by more than that from their others
    assert (moved <= temporal_noise.MOST).all()


def moving_maps(memory, grids, mask):
    levels = DefinedLoops().moving_levels(grids, mask)
    return memory.moving_maps(0, 1, levels, mask.size, DefinedLoops())


def moving_maps_of(under, over, mask, brackets=100):
    """What is learned of two exposures (grids) of which the mask moves; the maps of all, and those of what moves."""
    memory, loops = StreamMemory(), DefinedLoops()
    for number in range(1, brackets):
        place = Place(0, (number - number % 2, number - (number + 1) % 2))
        memory.follow(place, under.shape[:2])
        memory.observe(place, [View(under, under), View(over, over)], 1.0, loops)
        maps = memory.maps(0, 1, None, loops)
        moving = moving_maps(memory, (under, over), mask)
    return maps[1], moving[1]


def test_what_moves_is_mapped_as_it_was_seen_and_not_as_the_rest():
    """A shirt's colour rises more from exposure to exposure than the wall's of the same level."""
    under = np.random.default_rng(0).uniform(0.1, 0.4, (90, 160, 3)).astype(np.float32)
    over, mask = 2 * under, np.zeros((90, 160), np.float32)
    mask[20:60, 40:90] = 1
    under[20:60, 40:90] = np.random.default_rng(1).uniform(0.22, 0.28, (40, 50, 3))
    over[20:60, 40:90] = np.flip(2 * under[20:60, 40:90] + 0.04, axis=1)  # it is elsewhere
    maps, moving = moving_maps_of(under, over, mask)
    level = np.float32([0.25])
    assert intensity_mapping.at(maps.brighter, level) < 0.525
    assert intensity_mapping.at(moving.brighter, level) == pytest.approx(0.54, abs=0.008)
    assert intensity_mapping.at(moving.darker, np.float32([0.54])) == pytest.approx(0.25, abs=0.008)


def test_a_lamp_that_one_exposure_missed_teaches_little():
    under = np.random.default_rng(0).uniform(0.0, 0.4, (90, 160, 3)).astype(np.float32)
    over, mask = 2 * under, np.zeros((90, 160), np.float32)
    mask[20:60, 40:90], under[20:60, 40:90], over[20:60, 40:90] = 1, 0.02, 1
    maps, moving = moving_maps_of(under, over, mask)
    assert np.abs(moving.brighter - maps.brighter).max() < 0.051


def test_what_moves_in_light_that_flickers_is_as_bright_as_it_was():
    """A short exposure of a few brackets has less light than the rest of the stream taught."""
    rng = np.random.default_rng(0)
    under = rng.uniform(0.1, 0.4, (90, 160, 3)).astype(np.float32)
    over, mask = 2 * under, np.zeros((90, 160), np.float32)
    mask[:, 20:140] = 1
    memory, loops = StreamMemory(), DefinedLoops()
    for number in range(20):
        place = Place(0, (number - number % 2, number - (number + 1) % 2))
        memory.follow(place, under.shape[:2])
        memory.observe(place, [View(under, under), View(over, over)], 1.0, loops)
        memory.maps(0, 1, None, loops)
        usual = moving_maps(memory, (under, over), mask)[1]
    dimmed = moving_maps(memory, (np.float32(0.8) * np.flip(under, axis=1), over), mask)[1]
    level = np.float32([0.25])
    gain = intensity_mapping.at(dimmed.brighter, level) / intensity_mapping.at(usual.brighter, level)
    assert 1.2 < gain < 1.26
    assert intensity_mapping.at(dimmed.darker, gain * 0.5) == pytest.approx(0.25, abs=0.01)
    few = np.zeros_like(mask)
    few[:10, 20:60] = 1
    still = moving_maps(memory, (np.float32(0.8) * under, over), few)[1]
    np.testing.assert_allclose(still.brighter, usual.brighter, atol=0.01)


def test_a_large_thing_that_moves_is_no_noise_of_its_levels():
    rng = np.random.default_rng(0)
    under = rng.normal(0.1, 0.003, (90, 160, 3)).astype(np.float32)
    changed = np.zeros((90, 160), np.float32)
    changed[:, :80] = 1
    under[:, :80] = rng.uniform(0.2, 0.4, (90, 80, 3))
    over = 2 * under
    over[:, :80] = 2 * np.flip(under[:, :80], axis=1)  # it is elsewhere
    maps, least = (intensity_mapping.of_light_ratio(4.6),) * 3, [np.full(KNOTS + 1, 1e-5)] * 3
    whole = ghost_mask.allowed_by_channel(under, over, maps, least)
    still = ghost_mask.allowed_by_channel(under, over, maps, least, changed)
    levels = slice(round(0.22 * KNOTS), round(0.38 * KNOTS))
    assert np.sqrt(whole.noise[:, levels]).min() > 0.03
    assert np.sqrt(still.noise[:, levels]).max() < 0.015
    nothing = ghost_mask.allowed_by_channel(under, over, maps, least, np.ones_like(changed))
    np.testing.assert_array_equal(nothing.noise, whole.noise)  # where all has changed, all is measured


def test_a_border_that_comes_into_view_has_not_changed_for_that():
    """A hand moves every frame: then a window's width along all borders would never be averaged over a cycle."""
    y, x = np.mgrid[0:100, 0:170][..., None] / 20.0
    whole = (0.4 + 0.2 * np.sin(x + np.cos(y)) + np.zeros(3)).astype(np.float32)
    memory, loops = StreamMemory(), DefinedLoops()
    for number in range(4):
        shift = number // 2 % 2
        place = Place(0, (number - number % 2, number - (number + 1) % 2))
        grid = whole[5 + shift : 95 + shift, 5 + shift : 165 + shift]
        memory.follow(place, (90, 160))
        memory.observe(place, [View(grid, grid), View(grid, grid)], 1.0, loops)
    for seen in memory.seen.values():
        assert seen.known
        assert seen.changed[[0, -1]].mean() < 0.02
        assert seen.changed[:, [0, -1]].mean() < 0.02


@given(st.floats(0, 100), st.floats(-0.3, 0.3), st.floats(0, 0.4))
def test_the_mean_is_followed_and_its_alternation_is_not(start, speed, amplitude):
    followed, shown = MeanLightness(), []
    seen = [start + speed * number + amplitude * (number % 2) for number in range(80)]
    shown = [followed.follow(value) for value in seen]
    assert pulse(shown[40:]) <= 0.55 * amplitude + 1e-3
    assert abs(np.mean(shown[60:]) - np.mean(seen[60:])) < 0.5 + abs(speed)


def test_a_light_that_is_switched_on_is_shown_at_once():
    followed = MeanLightness()
    for _ in range(10):
        followed.follow(20.0)
    assert followed.follow(50.0) == pytest.approx(50, abs=0.01)
