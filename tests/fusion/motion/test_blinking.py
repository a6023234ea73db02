"""Lamps that one exposure misses now and then are no motion; what all exposures see move is."""

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import blinking
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.steadiness import Place, StreamMemory
from livemef.fusion.motion.views import View

LOOPS = [DefinedLoops()] + ([CompiledLoops()] if compiled() else [])
LAMP = slice(14, 30), slice(30, 90)
STRIP = slice(20, 25), slice(30, 90)


def gates(loops, frames, exposures=2):
    """After each frame: where a disagreement of the first two exposures would be believed."""
    memory, newest, found = StreamMemory(), {}, []
    for number, grid in enumerate(frames):
        newest[number % exposures] = number, grid
        if len(newest) < exposures:
            continue
        place = Place(0, tuple(newest[index][0] for index in range(exposures)))
        memory.follow(place, grid.shape[:2])
        views = [View(newest[index][1], newest[index][1]) for index in range(exposures)]
        memory.observe(place, views, 1.0, loops)
        changes = memory.changes(range(exposures), {})
        found.append(None if changes is None else loops.gate(changes))
    return found


def noisy(number, grid):
    return np.clip(grid + np.random.default_rng(number).normal(0, 0.004, grid.shape), 0, 1).astype(np.float32)


def scene(exposure, lamp=True, where=LAMP):
    grid = np.full((60, 120, 3), (0.1, 0.4, 0.6)[exposure], np.float32)
    grid[where] = (0.9, 1, 1)[exposure] if lamp else 0.05
    return grid


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("exposures", [2, 3])
def test_a_lamp_that_the_short_exposure_misses_again_is_no_motion(loops, exposures):
    missed = {exposures * cycle for cycle in (4, 9, 12)}
    frames = [noisy(n, scene(n % exposures, n not in missed)) for n in range(14 * exposures)]
    found = gates(loops, frames, exposures)
    first, second, third = (found[number - exposures + 1][LAMP].mean() for number in sorted(missed))
    assert first > 0.9  # it could have gone
    assert max(second, third) < 0.15


@pytest.mark.parametrize("loops", LOOPS)
def test_a_strip_of_light_that_the_short_exposure_misses_once_is_no_motion(loops):
    frames = [noisy(n, scene(n % 2, n != 8, STRIP)) for n in range(12)]
    assert gates(loops, frames)[7][STRIP].mean() < 0.05


@pytest.mark.parametrize("loops", LOOPS)
def test_a_small_light_that_moves_does(loops):
    frames = []
    for number in range(10):
        frames.append(scene(number % 2, where=(slice(0, 0), slice(0, 0))))
        frames[-1][30:34, 8 * number : 8 * number + 6] = (0.8, 1)[number % 2]
    found = gates(loops, [noisy(n, frame) for n, frame in enumerate(frames)])[7]  # after frame 8, a short exposure
    assert found[30:34, 48:54].min() > 0.95
    assert found[30:34, 64:70].min() > 0.95


@pytest.mark.parametrize("loops", LOOPS)
def test_a_dark_thing_before_a_light_wall_does(loops):
    frames = []
    for number in range(10):
        frames.append(scene(number % 2, where=(slice(0, 60), slice(0, 120))))
        frames[-1][:, : 8 * number] = 0.02
    found = gates(loops, [noisy(n, frame) for n, frame in enumerate(frames)])[7]
    assert found[:, 50:62].min() > 0.95


@pytest.mark.skipif(not compiled(), reason="the compiled loops are not built")
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (8, 8), (61, 97), (90, 160)])
def test_the_compiled_lights_that_went_out_are_those_of_the_definition(shape):
    rng, any_out = np.random.default_rng(3), False
    for _ in range(20):
        before = np.clip(0.1 + rng.normal(0, 0.01, (*shape, 3)), 0, 1).astype(np.float32)
        grid = np.clip(before + rng.normal(0, 0.01, before.shape), 0, 1).astype(np.float32)
        for picture, count in ((before, 6), (grid, 1)):
            for top, left in rng.integers(0, shape, (count, 2)):
                picture[top : top + 3, left : left + int(rng.integers(2, 20))] = rng.uniform(0.3, 1, 3)
        changed = (np.abs(grid - before).max(axis=2) > 0.05).astype(np.float32)
        wanted = blinking.without_lights_out(changed, grid, before)
        any_out = any_out or not np.array_equal(wanted, changed)
        np.testing.assert_array_equal(CompiledLoops().without_lights_out(changed, grid, before), wanted)
    assert any_out or shape in ((1, 1), (8, 8))


@pytest.mark.parametrize("loops", LOOPS)
def test_what_moves_changes_in_all_exposures(loops):
    frames = []
    for number in range(40):
        grid = scene(number % 2)
        left = 3 * number - 20
        grid[35:55, max(left, 0) : max(left + 20, 0)] = (0.3, 0.8)[number % 2]
        frames.append(noisy(number, grid))
    for number, gate in enumerate(gates(loops, frames)[6:], 7):
        left = 3 * number - 20
        assert gate[36:54, max(left, 0) + 2 : max(left + 18, 0)].mean() > 0.5 or left > 100
        edge = gate[36:54, max(left + 18, 0) : left + 20]
        assert edge.size == 0 or edge.min() > 0.9


@pytest.mark.parametrize("loops", LOOPS)
def test_nothing_is_kept_as_long_as_nothing_blinks(loops):
    nothing, all_over = np.zeros((5, 6), np.float32), np.ones((5, 6), np.float32)
    assert loops.follow_blinking(None, nothing, nothing) is None
    assert loops.follow_blinking(None, all_over, all_over) is None
    once = loops.follow_blinking(None, all_over, nothing)
    np.testing.assert_array_equal(loops.without_blinking(all_over, once), all_over)
    twice = loops.follow_blinking(once, all_over, nothing)
    assert loops.without_blinking(all_over, twice).max() == 0
    assert twice.dtype == np.float32


@pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")
@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (45, 81)])
def test_compiled_blinking_is_the_defined_one(shape):
    before, changed, around = np.random.default_rng(3).random((3, *shape)).astype(np.float32)
    changed.flat[0], around.flat[0] = 1, 0  # so that there is something to keep
    for past in (None, before):
        wanted = blinking.followed(past, changed, around)
        np.testing.assert_allclose(LOOPS[1].follow_blinking(past, changed, around), wanted, atol=1e-6)
    wanted = blinking.without(changed, before)
    np.testing.assert_allclose(LOOPS[1].without_blinking(changed, before), wanted, atol=1e-6)


@pytest.mark.parametrize("loops", LOOPS)
def test_a_blade_that_is_back_with_every_frame_of_an_exposure_is_no_lamp(loops):
    """Three blades of a fan that turns by a sixth of their distance a frame: one exposure sees them where the other
    never does."""
    down, across = np.mgrid[:60, :120] - np.array([30, 60])[:, None, None]
    angle, distance = np.arctan2(down, across), np.hypot(down, across)
    frames = []
    for number in range(30):
        turned = (angle + number * np.pi / 9) % (2 * np.pi / 3)
        frames.append(scene(number % 2, where=(slice(0, 0), slice(0, 0))))
        frames[-1][(turned < 0.35) & (distance < 28)] = (0.02, 0.1)[number % 2]
    found = gates(loops, [noisy(n, frame) for n, frame in enumerate(frames)])
    blades = (np.abs(frames[-1] - frames[-3]).max(axis=2) > 0.05) & (distance > 6)
    assert found[-1][blades].min() > 0.95


@pytest.mark.skipif(not compiled(), reason="the compiled loops are not built")
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (8, 8), (61, 97), (90, 160)])
def test_the_compiled_changes_that_another_exposure_sees_are_those_of_the_definition(shape):
    rng = np.random.default_rng(4)
    for share in (0.001, 0.02, 0.3):
        changed, other = (
            np.where(rng.random(shape) < part, rng.random(shape), 0).astype(np.float32) for part in (share, 4 * share)
        )
        wanted = blinking.seen_by_other(changed, other)
        np.testing.assert_array_equal(CompiledLoops().seen_by_other(changed, other), wanted)
