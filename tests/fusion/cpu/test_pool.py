"""Threads that help with the loops over grids (kernels/pool.c)."""

import gc
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import intensity_mapping
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.settings import FusionSettings

pytestmark = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")
THREADS = Path("/proc/self/task")


def results(loops: CompiledLoops, seed: int) -> list[np.ndarray]:
    """What each loop that takes helpers makes of random grids."""
    rng = np.random.default_rng(seed)
    light = np.kron(rng.random((45, 80, 3)), np.ones((4, 4, 1))) ** 2 + rng.random((180, 320, 3)) / 20
    under, over = (np.clip(factor * light + 0.01, 0, 1).astype(np.float32) for factor in (0.3, 1.1))
    mask = (rng.random((180, 320)) ** 8).astype(np.float32)
    maps = (intensity_mapping.of_light_ratio(3.0),) * 3
    allowed = loops.allowed_by_channel(under, over, maps, [np.full(intensity_mapping.KNOTS + 1, 1e-5)] * 3)
    curves, fill = np.stack([one.darker for one in maps]), rng.random((20, 40, 3)).astype(np.float32)
    todo = Compensation(NO_MOVE, mask, curves, fill)
    small = loops.mean_cells(under, 90, 160)
    luma, other = (loops.mean_cells(grid, 90, 160)[..., 1].copy() for grid in (over, np.roll(over, (3, 2), (1, 0))))
    move = loops.find_move(luma, other)
    assert move != NO_MOVE
    return [
        allowed.expected,
        allowed.noise,
        loops.disagreement(under, over, allowed, mask),
        loops.changes(over, loops.moved(over, Move(1.5, -0.25, 0.01)), np.full(16, 0.01, np.float32)),
        loops.median_level(over, curves),
        loops.soft_mask(mask),
        loops.wider_mask([mask, mask[::-1]], 2),
        loops.find_regions(mask, list(np.moveaxis(under, -1, 0))).means,
        loops.green_difference(under, over, curves[1], mask),
        loops.measured_noise(under, over),
        loops.remade(over, under, todo, small),
        loops.tints(small, loops.mean_cells(over, 90, 160), mask, curves, 0.2),
        small,
        *loops.small_lab(small, FusionSettings(), True),
        np.array([move.dx, move.dy, move.turn]),
        shrunk(loops, (255 * np.kron(over, np.ones((5, 3, 1), np.float32))).astype(np.uint8)),
    ]


def shrunk(loops: CompiledLoops, picture: np.ndarray) -> np.ndarray:
    result = np.full((180, 320, 3), np.nan, np.float32)
    assert loops.run(loops.shrink(picture, result))
    return result


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("threads", [2, 3, 20])
def test_helpers_change_no_bit(threads: int) -> None:
    alone, together = CompiledLoops(), CompiledLoops(threads)
    for seed in range(4):
        assert_same(results(together, seed), results(alone, seed))


def test_two_callers_at_once_do_not_disturb_each_other() -> None:
    loops = CompiledLoops(3)
    wanted = [results(CompiledLoops(), seed) for seed in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            for found, right in zip(pool.map(lambda seed: results(loops, seed), (0, 1)), wanted, strict=True):
                assert_same(found, right)


@pytest.mark.skipif(not THREADS.exists(), reason="needs /proc")
def test_helpers_end_with_their_loops() -> None:
    gc.collect()
    before = len(list(THREADS.iterdir()))
    loops = CompiledLoops(4)
    assert len(list(THREADS.iterdir())) == before + 3
    del loops
    end = time.monotonic() + 5
    while len(list(THREADS.iterdir())) > before and time.monotonic() < end:
        time.sleep(0.01)
    assert len(list(THREADS.iterdir())) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_works_alone() -> None:
    loops = CompiledLoops(3)
    wanted = results(loops, 0)
    for _ in range(20):  # a helper may be in the midst of anything
        results(loops, 0)
        child = os.fork()
        if not child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)  # ends it, should it wait for helpers that it does not have
            try:
                assert_same(results(loops, 0), wanted)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_helpers_keep_off_the_callers_core() -> None:
    own, before = os.sched_getaffinity(0), set(os.listdir(THREADS))
    loops = CompiledLoops(3)
    try:
        for core in own:
            os.sched_setaffinity(0, own)
            helpers = [int(one) for one in set(os.listdir(THREADS)) - before]
            assert len(helpers) == 2
            os.sched_setaffinity(0, {core})  # one core alone: nowhere else to go
            results(loops, 0)
            os.sched_setaffinity(0, own)
            assert_same(results(loops, 0), results(CompiledLoops(), 0))
            for helper in helpers:
                assert len(os.sched_getaffinity(helper)) == len(own) - 1
            assert os.sched_getaffinity(0) == own
    finally:
        os.sched_setaffinity(0, own)
