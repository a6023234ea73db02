"""The compiled measurements of grids against their definitions."""

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.compiled_compensation import compensation_call
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import ghost_mask, intensity_mapping, regions, temporal_noise
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.intensity_mapping import KNOTS, ExposureMap
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.registration import NO_MOVE

pytestmark = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")
SHAPES = [(1, 1), (1, 40), (7, 13), (45, 80), (120, 160)]
RNG = np.random.default_rng(5)
NOISE = np.linspace(0.002, 0.02, temporal_noise.LEVELS).astype(np.float32)


def grids(shape, clipped=False):
    """Two exposures of one scene, 3 EV apart, whose values tie in places."""
    light = RNG.random((*shape, 3)) ** 3
    light[: shape[0] // 2] = np.round(light[: shape[0] // 2], 2)
    under, over = light**0.45 * 0.4, np.minimum(light**0.45, 1)
    noisy = [np.clip(grid + RNG.normal(0, 0.004, grid.shape), 0, 1) for grid in (under, over)]
    return [np.ones_like(grid, np.float32) if clipped else grid.astype(np.float32) for grid in noisy]


def both(name, *arguments):
    return getattr(CompiledLoops(), name)(*arguments), getattr(DefinedLoops, name)(*arguments)


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_over_time(shape):
    grid, _ = grids(shape)
    old = np.clip(grid + RNG.normal(0, 0.01, grid.shape), 0, 1).astype(np.float32)
    np.testing.assert_allclose(*both("measured_noise", grid, old), rtol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("clipped", [False, True])
def test_what_two_exposures_may_differ_by(shape, clipped):
    under, over = grids(shape, clipped)
    maps = intensity_mapping.learned(*map(intensity_mapping.histograms, (under, over)), None, under.size // 3)
    least = [np.full(KNOTS + 1, variance) for variance in (0, 1e-5, 1e-3)]
    found, wanted = both("allowed_by_channel", under, over, maps, least)
    np.testing.assert_allclose(found.expected, wanted.expected, atol=1e-6)
    np.testing.assert_allclose(found.noise, wanted.noise, atol=1e-8)
    assert found.spoilt == wanted.spoilt


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("still", [0.0, 0.1, 0.125, 0.6, 1.0])
def test_what_two_exposures_may_differ_by_where_nothing_has_changed(shape, still):
    under, over = grids(shape)
    maps = intensity_mapping.learned(*map(intensity_mapping.histograms, (under, over)), None, under.size // 3)
    least = [np.full(KNOTS + 1, 1e-5)] * 3
    changed = (RNG.uniform(0, 1, shape) >= still) * RNG.uniform(0.5, 1, shape).astype(np.float32)
    found, wanted = both("allowed_by_channel", under, over, maps, least, changed.astype(np.float32))
    np.testing.assert_allclose(found.expected, wanted.expected, atol=1e-6)
    np.testing.assert_allclose(found.noise, wanted.noise, atol=1e-8)


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("known", [None, (intensity_mapping.of_light_ratio(8.0),) * 3])
def test_maps_learned_from_histograms(clipped, known):
    dark, bright = map(intensity_mapping.histograms, grids((45, 80), clipped))
    for found, wanted in zip(*both("learned", dark, 1.7 * bright, known, 45 * 80), strict=True):
        np.testing.assert_allclose(found.brighter, wanted.brighter, atol=1e-9)
        np.testing.assert_allclose(found.darker, wanted.darker, atol=1e-9)


@pytest.mark.parametrize("noises", [(None, None), (NOISE, None), (None, NOISE), (NOISE, NOISE[::-1].copy())])
def test_what_noise_brings_about_between_exposures(noises):
    exposures = intensity_mapping.of_light_ratio(8.0)
    np.testing.assert_allclose(*both("least_variance", exposures, *noises), rtol=1e-6)


def test_the_slope_of_a_map():
    exposures = ExposureMap(np.linspace(0, 1, KNOTS + 1) ** 0.5, np.zeros(KNOTS + 1))
    np.testing.assert_allclose(exposures.slope, np.gradient(exposures.brighter, 1 / KNOTS))


@pytest.mark.parametrize("shape", [(6, 12), (6, 12, 3)])
@pytest.mark.parametrize("size", [(6, 12), (3, 6), (2, 4), (6, 3), (1, 1), (4, 5)])
def test_means_of_cells(shape, size):
    np.testing.assert_allclose(*both("mean_cells", RNG.random(shape).astype(np.float32), *size), atol=3e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tables_of_codes(dtype):
    curves = np.sort(RNG.random((3, KNOTS + 1)), axis=1)
    curves[:, -200:] = 1
    picture, codes = np.zeros((4, 5, 3), dtype), np.iinfo(dtype).max + 1
    call = compensation_call(picture, picture, Compensation(NO_MOVE, np.zeros((2, 2), np.float32), curves, None))
    found, wanted = call.arrays[0][: 3 * codes].reshape(3, -1), intensity_mapping.code_tables(curves, np.dtype(dtype))
    assert np.abs(found - wanted).max() <= (0 if dtype is np.uint8 else 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2), (45, 80)])
@pytest.mark.parametrize("part", [0, 0.02, 0.4])
def test_masks_made_whole_and_wider(shape, part):
    masks = [(RNG.random(shape) * (RNG.random(shape) < part)).astype(np.float32) for _ in range(3)]
    np.testing.assert_allclose(*both("soft_mask", masks[0]), atol=1e-6)
    gate = ghost_mask.wider_mask([(RNG.random(shape) > 1 - part).astype(np.float32)], 2)
    np.testing.assert_allclose(*both("soft_mask", masks[0], gate), atol=1e-6)
    np.testing.assert_allclose(*both("wider_mask", masks, 2), atol=1e-6)
    np.testing.assert_allclose(*both("wider_mask", masks[:1], 1), atol=1e-6)


@pytest.mark.parametrize("loops", [CompiledLoops(), DefinedLoops()])
def test_wide_gaps_are_closed_within_what_has_changed_only(loops):
    disagreement = np.zeros((60, 80), np.float32)
    disagreement[10:14, 10:70] = disagreement[21:25, 10:70] = 1  # 7 cells apart
    changed = np.zeros_like(disagreement)
    changed[5:30, :40] = 1
    mask = loops.soft_mask(disagreement, changed)
    assert mask[14:21, 14:36].min() == 1
    assert mask[16:19, 46:66].max() == 0
    assert loops.soft_mask(disagreement)[14:21, 14:66].min() == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (45, 60), (90, 160), (135, 90), (67, 91)])
@pytest.mark.parametrize("cells", [1, 2])
@pytest.mark.parametrize("part", [0, 0.3])
@pytest.mark.parametrize("clips_at", [1.0, 0.9])
def test_what_lies_behind_clipping(shape, cells, part, clips_at):
    other, reference = grids(shape)
    mask = np.zeros((shape[0] * cells, shape[1] * cells), np.float32)
    mask[: len(mask) // 2] = RNG.random(mask[: len(mask) // 2].shape) < part
    found, wanted = both("behind_clipping", np.minimum(1.5 * reference, clips_at), other, mask, clips_at)
    assert (found is None) == (wanted is None)
    if wanted is not None:
        np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (40, 3), (67, 91), (180, 320)])
@pytest.mark.parametrize("part", [0.0, 0.002, 0.01, 0.02, 0.2])
@pytest.mark.parametrize("planes", [1, 3])
def test_means_of_regions(shape, part, planes):
    mask = (RNG.random(shape) * (RNG.random(shape) < part)).astype(np.float32)
    found, wanted = both("find_regions", mask, list(RNG.random((planes, *shape)).astype(np.float32)))
    assert found.means.shape == wanted.means.shape
    for one, other in zip(found.means, wanted.means, strict=True):
        np.testing.assert_array_equal(CompiledLoops().of_regions(found, one), regions.of_regions(wanted, other))


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 1.0])
def test_what_a_mask_leaves_out_is_0(part):
    (under, over), curves = grids((67, 91)), RNG.random((3, intensity_mapping.KNOTS + 1))
    mask = (RNG.random((67, 91)) * (RNG.random((67, 91)) < part)).astype(np.float32)
    np.testing.assert_array_equal(*both("median_level", under, curves, mask))
    np.testing.assert_array_equal(*both("green_difference", under, over, curves[1], mask))


@pytest.mark.parametrize("least", [0.0, 0.5, 2.0])
def test_histograms_of_what_is_masked(least):
    grid, _ = grids((45, 80))
    np.testing.assert_array_equal(*both("histograms", grid, RNG.random((45, 80)).astype(np.float32), least))


@pytest.mark.parametrize("clips_at", [1.0, 0.9])
def test_maps_that_are_learned(clips_at):
    counts = [intensity_mapping.histograms(grid) for grid in grids((45, 80))]
    for known in (None, (intensity_mapping.of_light_ratio(8.0),) * 3):
        for found, wanted in zip(*both("learned", *counts, known, 3600, clips_at), strict=True):
            np.testing.assert_allclose(found.brighter, wanted.brighter, atol=1e-9)
            np.testing.assert_allclose(found.darker, wanted.darker, atol=1e-9)
            assert found.clips_at == wanted.clips_at == clips_at


@pytest.mark.parametrize("lamp", [1.0, 1.2, 0.3])
@pytest.mark.parametrize("cells", [50, 4000, 10**6])
@pytest.mark.parametrize("clips_at", [1.0, 0.9])
def test_maps_balanced_by_what_moves(lamp, cells, clips_at):
    under, over = grids((45, 80))
    maps = intensity_mapping.learned(*map(intensity_mapping.histograms, (under, over)), None, 3600, clips_at)
    moving = [intensity_mapping.histograms(grid[5:15, 20:60]) for grid in (under, np.minimum(lamp * over, 1))]
    for found, wanted, unchanged in zip(*both("balanced", maps, *moving, cells), maps, strict=True):
        np.testing.assert_allclose(found.brighter, wanted.brighter, atol=1e-12)
        np.testing.assert_allclose(found.darker, wanted.darker, atol=1e-12)
        assert cells > 50 or lamp == 1 or not np.allclose(found.brighter, unchanged.brighter, atol=3e-4)


def test_maps_stay_where_nothing_that_moves_is_seen_in_both():
    maps, nothing = (intensity_mapping.of_light_ratio(8.0),) * 3, np.zeros((3, KNOTS + 1))
    clipped = nothing.copy()
    clipped[:, -1] = 100
    for counts in ((nothing, nothing), (clipped, clipped), (clipped, nothing)):
        found, wanted = both("balanced", maps, *counts, 100)
        assert found is maps
        assert wanted is maps


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("mapped", [False, True])
def test_planes_in_which_a_move_is_searched(shape, factor, mapped):
    if min(shape) < factor:
        return
    curve = intensity_mapping.of_light_ratio(8.0).brighter if mapped else None
    found, wanted = both("comparable", grids(shape)[0], factor, curve)
    assert np.mean(np.abs(found - wanted) > 1e-6) < 0.01  # rarely the next knot of the curve
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.parametrize("count", [40, 41, 301])
def test_medians_of_values_that_tie(count):
    values = RNG.permutation(np.round(RNG.random(count) ** 3, 1) * 0.01).astype(np.float32)
    grid = np.full((count, 1, 3), 0.5, np.float32)
    np.testing.assert_allclose(*both("measured_noise", grid, grid - values[:, None, None]), rtol=1e-6)
