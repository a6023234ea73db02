"""Several loops in a call (kernels/stream.c) give what one after the other gives."""

import cv2
import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import intensity_mapping, registration
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.loops import ComposedLoops, DefinedLoops
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.views import Changed, Former, Seen, View

pytestmark = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")

KNOTS = intensity_mapping.KNOTS
MAPS = (intensity_mapping.of_light_ratio(3.0),) * 3
SIZES = [(90, 160, 2), (97, 83, 2), (160, 90, 3), (30, 50, 2), (90, 160, 1)]
"""Small pictures' height and width, and cells for each pixel: the last two go one after the other."""


def view_of(loops, light, cells):
    grid = np.clip(light, 0, 1).astype(np.float32)
    return View(grid, loops.mean_cells(grid, grid.shape[0] // cells, grid.shape[1] // cells))


def scene(height, width, cells, seed, shift=(0, 0)):
    """Light of a grid: coarse things, a texture, and a square that moves the other way; noise of this seed."""
    rng = np.random.default_rng(1)
    coarse = np.kron(rng.random((height // 5 + 1, width // 5 + 1, 3)), np.ones((5 * cells, 5 * cells, 1)))
    light = 0.05 + 0.3 * np.roll(coarse[: height * cells, : width * cells], shift, (0, 1))
    top = 20 + 2 * shift[0]
    light[top : top + 15, 10:30] = 0.02
    return cv2.blur(light, (5, 5)) * np.random.default_rng(seed).normal(1, 0.02, light.shape)


def brighter(light):
    return intensity_mapping.at(MAPS[0].brighter, np.clip(light, 0, 1))


def mask_of(grid, seed):
    return (np.random.default_rng(seed).random(grid.shape[:2]) ** 8).astype(np.float32)


def assert_like(found, wanted):
    if wanted is None or found is None:
        assert found is wanted
    elif isinstance(wanted, Move):
        np.testing.assert_allclose(
            (found.dx, found.dy, found.turn), (wanted.dx, wanted.dy, wanted.turn), rtol=1e-9, atol=1e-12
        )
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [(0, 0), (3, -4)])
def test_an_exposure_without_its_move(threads, size, shift):
    loops = CompiledLoops(threads)
    reference = view_of(loops, brighter(scene(*size, 0)), size[2])
    other = view_of(loops, scene(*size, 1, shift), size[2])
    for pair, over in (((reference, other), True), ((other, reference), False)):
        move, there = loops.aligned(*pair, MAPS[1], over, 4.0)
        wanted_move, wanted = ComposedLoops.aligned(loops, *pair, MAPS[1], over, 4.0)
        assert (move == NO_MOVE) == (shift == (0, 0)) == (there is pair[1])
        assert_like(move, wanted_move)
        assert_like(there.grid, wanted.grid)
        assert_like(there.small, wanted.small)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [(0, 0), (3, -4)])
@pytest.mark.parametrize("known", [False, True])
def test_a_new_frame_beside_the_one_before(threads, size, shift, known):
    loops = CompiledLoops(threads)
    old, new = (view_of(loops, scene(*size, seed, move), size[2]) for seed, move in ((0, (0, 0)), (1, shift)))
    searched = registration.searched(old.grid, old.small)
    luma = loops.comparable(searched, registration.fewer_by(searched))
    masks = [mask_of(old.grid, seed) for seed in range(3)]
    noise = np.linspace(0.003, 0.015, 16, dtype=np.float32) if known else None
    other = Changed(masks[1], masks[2] if known else None)
    for before in (
        Former(Seen(0, old.grid, luma, masks[0], known), noise, loops.histograms(old.grid), masks[0], other),
        Former(Seen(0, old.grid, luma, masks[0], known), noise, loops.histograms(old.grid), None, None),
    ):
        found = loops.observed(new, before, 4.0)
        wanted = ComposedLoops.observed(loops, new, before, 4.0)
        assert (found.move == NO_MOVE) == (shift == (0, 0))
        assert found.changed.any()
        for name in ("luma", "move", "noise", "changed", "histograms", "blinks", "other_blinks"):
            assert_like(getattr(found, name), getattr(wanted, name))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("exposures", [2, 3])
def test_where_exposures_differ(threads, size, exposures):
    loops = CompiledLoops(threads)
    under = view_of(loops, scene(*size, 0), size[2]).grid
    over = view_of(loops, brighter(scene(*size, 1, (3, 0))), size[2]).grid
    least = [np.full(KNOTS + 1, 1e-5)] * 3
    changed = [
        Changed(mask_of(under, e), mask_of(under, 9) if e else None, Move(1.5, -0.5, 0.003) if e == 1 else NO_MOVE)
        for e in range(exposures)
    ]
    found = loops.difference(changed, (under, over), MAPS, least)
    wanted = ComposedLoops.difference(loops, changed, (under, over), MAPS, least)
    defined = DefinedLoops().difference(changed, (under, over), MAPS, least)
    assert_like(found.mask, wanted.mask)
    assert 0.01 < (found.mask > 0.5).mean() < 0.9
    assert np.abs(found.mask - defined.mask).max() < 1.5 / 255
    for one, other in zip(found.levels, wanted.levels, strict=True):
        assert_like(one, other)
    for one in (wanted, defined):
        assert_like(found.allowed.expected, one.allowed.expected)
        assert_like(found.allowed.noise, one.allowed.noise)


def test_where_nothing_has_changed_or_differs():
    loops, least = CompiledLoops(2), [np.full(KNOTS + 1, 1e-5)] * 3
    under = view_of(loops, scene(90, 160, 2, 0), 2).grid
    over = view_of(loops, brighter(scene(90, 160, 2, 0)), 2).grid
    still, all_of_it = (Changed(np.full(under.shape[:2], value, np.float32), None) for value in (0, 1))
    assert loops.difference([still, still], (under, over), MAPS, least) is None
    same = intensity_mapping.of_light_ratio(1.0)
    found = loops.difference([still, all_of_it], (under, under), (same,) * 3, least)
    assert not found.mask.any()
    assert found.levels is None


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("move", [NO_MOVE, Move(2.7, -1.6, 0.004)])
@pytest.mark.parametrize(("over", "level"), [(True, 1.0), (True, 8.0), (False, 0.3), (False, 8.0)])
def test_an_exposure_at_the_reference_s_moment(threads, size, move, over, level):
    loops = CompiledLoops(threads)
    dark, light = level * scene(*size, 0), level * scene(*size, 1, (3, 0))
    dark[:, :6] *= 0 if over else 1  # black bars are no border to be covered
    under, bright = view_of(loops, dark, size[2]), view_of(loops, brighter(dark), size[2])
    reference, there = (
        (bright, view_of(loops, light, size[2])) if over else (under, view_of(loops, brighter(light), size[2]))
    )
    curves = np.array([one.darker if over else one.brighter for one in MAPS])
    masks = [np.round(mask_of(under.grid, 2)) for _ in range(2)]

    def asked(mask):
        return Compensation(move.scaled(4.0), mask, curves, None, None, 0.1, 0.01, 0.95)

    for whole in (False, True):
        found, made = loops.compensated(reference, there, asked(masks[0]), move, over, whole)
        wanted, seen = ComposedLoops.compensated(loops, reference, there, asked(masks[1]), move, over, whole)
        for name in ("mask", "fill", "tints"):
            assert_like(getattr(found, name), getattr(wanted, name))
        assert (found.move, found.clear, found.grain, found.clips_at) == (wanted.move, 0.1, 0.01, 0.95)
        assert_like(made.small, seen.small)
        assert_like(made.grid, seen.grid)
        assert (made.grid is there.grid) == (not whole)
        assert np.abs(made.small - there.small).max() > 0.01
    assert (found.fill is not None) == (over and level > 1)
    assert (found.tints is not None) == (not over and level < 1)


def test_an_exposure_of_which_nothing_is_masked_is_left_as_it_is():
    loops = CompiledLoops(2)
    reference, there = (view_of(loops, scene(90, 160, 2, seed), 2) for seed in (0, 1))
    todo = Compensation(NO_MOVE, np.zeros(there.grid.shape[:2], np.float32), np.zeros((3, KNOTS + 1)), None)
    assert loops.compensated(reference, there, todo, NO_MOVE, True, True) == (todo, there)
