"""Maps between exposures, learned in one call (kernels/evidence.c), are those learned one after the other."""

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.loops import ComposedLoops, DefinedLoops
from livemef.fusion.motion.moving_maps import Moving

pytestmark = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")

KNOTS = intensity_mapping.KNOTS
MAPS = (intensity_mapping.of_light_ratio(3.0),) * 3
CELLS = 180 * 320


def histograms(seed, scale=1.0):
    """Of a scene in both exposures."""
    rng = np.random.default_rng(seed)
    dark = np.clip(rng.gamma(2.0, 0.12, (40, 60, 3)), 0, 1).astype(np.float32)
    bright = np.clip(intensity_mapping.at(MAPS[0].brighter, dark) ** 0.95, 0, 1)
    return tuple(scale * intensity_mapping.histograms(grid) for grid in (dark, bright))


def curves(maps):
    return np.array([[one.brighter, one.darker, one.slope] for one in maps])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("known", [MAPS, None])
@pytest.mark.parametrize("clips_at", [1.0, 0.9])
def test_a_pair_with_its_least_variance(threads, known, clips_at):
    loops = CompiledLoops(threads)
    noises = np.linspace(0.003, 0.015, 16, dtype=np.float32), None
    given = histograms(1), noises, known, CELLS, clips_at
    maps, least = loops.learned_pair(*given)
    assert [one.clips_at for one in maps] == [clips_at] * 3
    for wanted in (ComposedLoops.learned_pair(loops, *given), DefinedLoops().learned_pair(*given)):
        np.testing.assert_allclose(curves(maps), curves(wanted[0]), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(least, wanted[1], rtol=1e-6)


@pytest.mark.parametrize("clips_at", [1.0, 0.9])
def test_maps_of_what_moves(clips_at):
    loops = CompiledLoops(2)
    composed = [loops.moving_maps, lambda *given: ComposedLoops.moving_maps(loops, *given), DefinedLoops().moving_maps]
    states = [Moving(np.zeros((3, KNOTS + 1)), np.zeros((3, KNOTS + 1)), MAPS, 0) for _ in composed]
    for bracket in range(4):
        levels = histograms(bracket)
        levels = levels[0], np.roll(levels[1], 30, axis=1)  # a lamp flickers
        results = []
        for moving, find in zip(states, composed, strict=True):
            maps, balanced = find(moving, levels, MAPS if bracket % 2 == 0 else None, CELLS, clips_at)
            assert (maps is moving.maps) == (bracket % 2 == 1)
            moving.maps = maps
            results.append((curves(maps), curves(balanced), moving.dark, moving.bright))
        assert np.abs(results[0][0] - results[0][1]).max() > 1e-4
        for other in results[1:]:
            for found, wanted in zip(results[0], other, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_nothing_moves():
    none = np.zeros((3, KNOTS + 1))
    for loops in (CompiledLoops(), DefinedLoops()):
        moving = Moving(*histograms(1), MAPS, 0)
        assert loops.moving_maps(moving, (none, none), MAPS, CELLS, 1.0) is None
        np.testing.assert_array_equal(moving.dark, histograms(1)[0])
