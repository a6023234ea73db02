"""The mean lightness of what moves, over a cycle of exposures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.srgb import encode
from livemef.fusion.bracket_fuser import open_bracket_fuser
from livemef.fusion.cpu.row_kernels import NumpyLoops
from livemef.fusion.cpu.sample_loops import SampleLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.metrics import steadiness
from livemef.fusion.motion import cycle_lightness, cycle_means, exposure_synthesis, pixel_samples
from livemef.fusion.motion.compensation import Moments, at_one_moment
from livemef.fusion.motion.cycle_lightness import CycleLightness, apart
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.steadiness import Place
from livemef.fusion.settings import FusionSettings

SHAPE = 18, 32


@given(st.integers(2, 5), st.floats(-50, 50), st.floats(-2, 2), st.data())
def test_what_has_the_period_is_found_and_a_slow_change_is_not(exposures, start, slope, data):
    own = data.draw(st.lists(st.floats(-3, 3), min_size=exposures, max_size=exposures))
    own = np.array(own) - np.mean(own)
    means = [start + slope * t + own[t % exposures] for t in range(4 * exposures)]
    for end in range(2 * (exposures // 2) + 1, len(means) + 1):
        middle = end - 1 - exposures // 2
        assert apart(means[:end], exposures) == pytest.approx(own[middle % exposures], abs=1e-6)
    assert apart(means[: 2 * (exposures // 2)], exposures) is None


def levelled(errors, part, brackets=120, exposures=2):
    """The means of brackets whose lightness has these errors by the newest exposure, where a part of it moves."""
    cycle, mask, shown = CycleLightness(), np.zeros(SHAPE, np.float32), []
    mask[:, : round(part * SHAPE[1])] = 1
    for t in range(brackets):
        newest = t % exposures
        lights = [np.full(SHAPE, 50, np.float32)] * exposures
        affine = np.zeros((*SHAPE, exposures + 1))
        affine[..., 0], affine[..., -1] = 1, errors[newest] * mask
        if cycle.begin(newest, exposures, mask, SHAPE):
            cycle.sampled = lights
        cycle.level(affine, cycle_means.mean_lightness)
        shown.append(cycle_means.mean_lightness(affine, lights))
        assert np.ptp(affine[:, -6:, -1]) == 0 or part > 0.6, "what stands still has changed"
    return shown


@pytest.mark.parametrize("errors", [(1, -1), (0.5, 0, -0.7), (0, 0, 0, 1)])
def test_errors_of_what_moves_no_longer_pulse(errors):
    shown = levelled(errors, 0.4, exposures=len(errors))
    assert steadiness.pulse(levelled(errors, 0.4, 2 * len(errors), len(errors))) > 0.05
    assert steadiness.pulse(shown[-20:]) < 0.02
    assert np.mean(shown[-12:]) == pytest.approx(50 + 0.4 * np.mean(errors), abs=0.05)


def test_no_more_is_added_than_may_be_seen():
    shown = levelled((40, -40), 0.3)
    assert np.ptp(shown[-2:]) > 0.3 * 80 - 2 * cycle_lightness.MOST


def test_nothing_is_done_where_nothing_moves():
    cycle, affine = CycleLightness(), np.ones((*SHAPE, 3))
    for t in range(9):
        assert not cycle.begin(t % 2, 2, np.zeros(SHAPE, np.float32), SHAPE)
        cycle.level(affine, cycle_means.mean_lightness)
    assert (affine == 1).all()


@pytest.mark.parametrize("move", [NO_MOVE, Move(3, -2), Move(-4, 0, 0.01)])
def test_samples_are_pixels_without_the_move(move):
    y, x = np.mgrid[0:90, 0:160]
    pixels = np.stack([x, y, x + y], axis=-1).astype(np.uint8)
    found = pixel_samples.sampled(pixels, (30, 40), move)
    (a, b), (c, d) = move.offsets(90, 160)
    x, y = np.meshgrid(4 * np.arange(40) + 1.5, 3 * np.arange(30) + 1)
    inside = np.s_[3:-3, 3:-3]
    assert np.abs(found[..., 0] - (x + a * y + b))[inside].max() < 0.6
    assert np.abs(found[..., 1] - (y + c * x + d))[inside].max() < 0.6
    assert (found[..., 2] == found[..., 0] + found[..., 1]).all()


def leaves(count):
    """Frames of leaves before a sky that clips, in wind, in turn dark and bright."""
    rng, frames = np.random.default_rng(4), []
    x, y, size, phase = (
        rng.uniform(0, 160, 300),
        rng.uniform(15, 90, 300),
        rng.uniform(1, 3, 300),
        rng.uniform(0, 6, 300),
    )
    down, across = np.mgrid[0:90, 0:160]
    for t in range(count):
        light = np.full((90, 160, 3), 2.0)
        for at, low, wide, when in zip(x, y, size, phase, strict=True):
            place = at + 3 * np.sin(0.09 * t + when) + 1.5 * np.sin(0.4 * t + when)
            near = (np.abs(down - low) < wide) & (np.abs(across - place) < 2 * wide)
            light[near] = np.array((0.06, 0.28, 0.12)) * (0.3 + when / 6)
        light = light * (0.35, 2.8)[t % 2]
        light += 0.003 * rng.normal(0, 1, light.shape)
        frames.append(np.round(255 * encode(np.clip(light, 0, 1))).astype(np.uint8))
    return frames


def brackets(frames):
    for t in range(1, len(frames)):
        first, second = (t - 1, t) if t % 2 else (t, t - 1)
        yield [frames[first], frames[second]], Moments((1.0, 8.0), place=Place(0, (first, second)))


def test_leaves_in_the_wind_do_not_pulse():
    with open_bracket_fuser(threads=1, device="cpu") as fuser:
        live = fuser._fuser
        means = [
            steadiness.lightness(live.fuse(pixels, moments=moments).pixels).mean()
            for pixels, moments in brackets(leaves(40))
        ]
    assert steadiness.pulse(means[20:]) < 0.25


@pytest.mark.skipif(not compiled(), reason="the loops are not compiled")
def test_compiled_loops_give_the_samples_of_the_definition():
    (pixels, moments), *_ = list(brackets(leaves(2)))
    pixels = [np.kron(picture, np.ones((4, 4, 1), np.uint8)) for picture in pixels]  # more cells than samples
    settings = FusionSettings()
    grids = [exposure.astype(np.float32)[2::4, 2::4] / 255 for exposure in pixels]
    moments = Moments(moments.lights, 1)
    found = at_one_moment(
        [np.kron(grid, np.ones((2, 2, 1), np.float32)) for grid in grids], pixels[0].shape[:2], 90, "full", moments
    )
    assert found.report().share > 0.05
    from livemef.fusion.cpu.compiled import CompiledLoops

    ways = [SampleLoops(loops, settings).remake for loops in (CompiledLoops(), NumpyLoops())]
    samples = [
        pixel_samples.of_one_moment(pixels, found, (90, 160), way) for way in (*ways, exposure_synthesis.exposure)
    ]
    for one in samples[1:]:
        differences = np.abs(np.array(samples[0], int) - np.array(one, int))
        assert (differences <= 1).mean() >= 0.9999
