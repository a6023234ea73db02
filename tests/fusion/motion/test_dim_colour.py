"""Colours where a darker reference is dim."""

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import dim_colour
from livemef.fusion.motion.compensation import Moments, at_one_moment
from livemef.fusion.motion.dim_colour import carried, clear_from, grain_of, tints, with_tints
from livemef.fusion.motion.ghost_mask import Allowed
from livemef.fusion.motion.intensity_mapping import KNOTS
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.steadiness import Place, StreamMemory

LINEAR = np.repeat(np.minimum(4 * np.linspace(0, 1, KNOTS + 1), 1)[None], 3, axis=0)
"""The other exposure's values: four times the reference's."""
CLEAR = 0.2
BROWN = np.array([0.02, 0.03, 0.05], np.float32)


def arm():
    """A brown arm in front of a light wall, as two exposures show it: it has moved by 6 pixels."""
    reference, there = np.full((40, 60, 3), 0.2, np.float32), np.full((40, 60, 3), 0.8, np.float32)
    reference[:, 20:30], there[:, 26:36] = BROWN, 4 * BROWN
    return reference, there


def made_of(reference, there, mask):
    made = 4 * reference
    return with_tints(made, tints(reference, there, mask, LINEAR, CLEAR), reference, CLEAR)


def colour_error(found, wanted):
    """Largest difference of the channels, each over luma."""
    found, wanted = (values / (values @ np.array([0.114, 0.587, 0.299]))[..., None] for values in (found, wanted))
    return np.abs(found - wanted).max()


def test_what_moves_has_its_own_colour():
    reference, there = arm()
    made = made_of(reference, there, np.ones((40, 60), np.float32))
    assert colour_error(made[:, 20:30], 4 * BROWN) < 0.05
    np.testing.assert_allclose(made[:, :18], there[:, :18], atol=1e-5)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_block_of_a_wrong_colour_gets_that_of_what_is_as_light_nearby(channel):
    reference, there = arm()
    block = BROWN + 0.015 * (np.arange(3) == channel)
    reference[8:16, 20:28] = block * (BROWN @ [0.114, 0.587, 0.299]) / (block @ [0.114, 0.587, 0.299])
    plain = colour_error(4 * reference[8:16, 20:28], 4 * BROWN)
    made = made_of(reference, there, np.ones((40, 60), np.float32))
    assert colour_error(made[8:16, 20:28], 4 * BROWN) < 0.25 * plain


def test_what_is_like_nothing_near_is_grey_and_as_light():
    reference, there = arm()
    there[:] = 0.8
    made = made_of(reference, there, np.ones((40, 60), np.float32))
    inside = made[:, 21:29]
    assert np.ptp(inside, axis=-1).max() < 0.3 * np.ptp(4 * BROWN)
    np.testing.assert_allclose(inside @ [0.114, 0.587, 0.299], 4 * BROWN @ [0.114, 0.587, 0.299], atol=1e-4)


def test_a_colour_that_is_not_dim_is_kept():
    reference, _ = arm()
    reference[:, 20:30] = 0.05, 0.1, 0.21
    np.testing.assert_array_equal(with_tints(4 * reference, np.ones_like(reference), reference, CLEAR), 4 * reference)


def test_the_cleaner_the_exposures_the_darker_a_colour_is_believed():
    noise = np.ones((3, KNOTS + 1))
    found = [clear_from(Allowed(noise, deviation**2 * noise)) for deviation in (0.001, 0.01, 0.1)]
    assert found == pytest.approx([0.08, 0.12, 0.2])


def test_noise_of_dim_pixels_is_not_enlarged_but_things_in_them_stay():
    rng, shape = np.random.default_rng(5), (64, 96, 3)
    dim = np.full(shape, 0.04, np.float32)
    dim[:, 48:] = 0.06
    noisy = np.clip(dim + rng.normal(0, 0.01, shape), 0, 1).astype(np.float32)
    noisy[20:22, 20:22] = 0.19  # a lamp
    noisy[20:22, 70:72] = 0.9
    grain = grain_of(0.01, LINEAR, CLEAR)
    assert grain == pytest.approx(dim_colour.GRAIN * 0.04, rel=0.01)
    tint = 4 * np.kron(noisy.reshape(8, 8, 12, 8, 3).mean(axis=(1, 3)), np.ones((8, 8, 1)))
    plain, smooth = (with_tints(4 * noisy, tint, noisy, CLEAR, value) for value in (0.0, grain))
    for part in (slice(0, 40), slice(56, 64)):  # of each side
        assert np.std(smooth[32:, part].mean(axis=2)) < 0.4 * np.std(plain[32:, part].mean(axis=2))
    assert smooth[20:22, 20:22].min() > 0.8 * 4 * 0.19
    assert smooth[20:22, 70:72].min() > 1  # not dim: untouched
    assert smooth[:, 56:].mean() - smooth[:, :40].mean() == pytest.approx(0.08, abs=0.01)


@pytest.mark.parametrize("deviation", [0.002, 0.01])
def test_a_stream_measures_the_noise_of_its_dim_pixels(deviation):
    rng, memory, cell = np.random.default_rng(6), StreamMemory(), 4
    scene = np.kron(rng.uniform(0.03, 0.15, (24, 40, 3)), np.ones((4, 4, 1)))
    for newest in range(1, 14):
        frames = tuple(newest - (newest - k) % 2 for k in range(2))
        grids = [scene * 4.0**k + rng.normal(0, deviation / cell, scene.shape) for k in range(2)]
        for grid, frame in zip(grids, frames, strict=True):
            grid[20:40, 4 * frame : 4 * frame + 20] = np.clip(grid[20:40, 4 * frame : 4 * frame + 20] * 0.3, 0, 1)
        seen = [np.clip(grid, 0, 1).astype(np.float32) for grid in grids]
        seen = [
            memory.seen[k].grid if k in memory.seen and memory.seen[k].frame == f else seen[k]
            for k, f in enumerate(frames)
        ]
        size = cell * scene.shape[0], cell * scene.shape[1]
        found = at_one_moment(seen, size, 96, "full", Moments(place=Place(0, frames)), memory=memory)
        if found.reference == 0 and newest > 8:
            todo = found.compensations[1]
            rise = 3 * 4 * deviation
            assert todo.tints is not None
            assert 0.6 * rise < todo.grain < 1.6 * rise


def test_what_was_made_from_a_dim_reference_is_no_clearer_for_being_lighter():
    assert carried(0.08, LINEAR) == pytest.approx(0.32, abs=0.01)
    assert carried(0.2, LINEAR) == dim_colour.MOST_CARRIED
    rng = np.random.default_rng(1)
    scene = np.kron(rng.uniform(0.01, 0.03, (12, 20, 3)), np.ones((8, 8, 1)))
    grids = [np.clip(scene * 4.0**k + rng.normal(0, 0.003, scene.shape), 0, 1).astype(np.float32) for k in range(3)]
    for k in (1, 2):
        grids[k][30:60, 40:80] = 0.03 * 4.0**k  # it has moved away
    todo = at_one_moment(grids, (96, 160), 96, "full", Moments(reference=0)).compensations
    assert todo[2].clear >= carried(todo[1].clear, todo[1].curves) > todo[1].clear


def test_nothing_is_looked_for_where_nothing_moves():
    reference, there = arm()
    mask = np.zeros((80, 120), np.float32)
    mask[:, :20] = 1
    assert tints(reference, there, mask, LINEAR, CLEAR) is None
    mask[:, 40:60] = 1
    assert tints(reference, there, mask, LINEAR, CLEAR).shape == reference.shape


@pytest.mark.skipif(not compiled(), reason="the compiled loops are not built")
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 5), (17, 16), (33, 71), (90, 160)])
@pytest.mark.parametrize("cells", [1, 2])
def test_the_compiled_tints_are_those_of_the_definition(shape, cells):
    rng = np.random.default_rng(2)
    reference = np.clip(0.1 + rng.normal(0, 0.06, (*shape, 3)), 0, 1).astype(np.float32)
    there = np.clip(3 * reference + rng.normal(0, 0.1, reference.shape), 0, 1).astype(np.float32)
    mask = (rng.uniform(0, 1, (cells * shape[0], cells * shape[1])) > 0.8).astype(np.float32)
    mask[0, 0], reference[0, 0] = 1, 0.02
    curves = np.minimum([[1.0], [0.8], [1.2]] * LINEAR, 1)
    found, wanted = (loops.tints(reference, there, mask, curves, CLEAR) for loops in (CompiledLoops(2), DefinedLoops))
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert DefinedLoops.tints is dim_colour.tints
