"""What a darker reference says of a brighter exposure, and which regions are made of it."""

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import ghost_mask, intensity_mapping
from livemef.fusion.motion.information import BOUND_PART, LEAST_BOUND, MOST_BOUND, deviation, replaced
from livemef.fusion.motion.intensity_mapping import KNOTS
from livemef.fusion.motion.loops import ComposedLoops, DefinedLoops

LOOPS = DefinedLoops()
MASK = np.ones((30, 40), np.float32)


def allowed(noise):
    return ghost_mask.Allowed(np.zeros((3, KNOTS + 1)), noise)


def test_the_deviation_is_that_of_where_nothing_moves():
    reference = np.full((30, 40, 3), 0.4, np.float32)
    reference[:, 20:] = 0.01
    noise = np.full((3, KNOTS + 1), 0.01**2)
    noise[:, : KNOTS // 10] = 0.1**2
    found = deviation(reference, MASK, allowed(noise), LOOPS)
    assert found[0, 0] == pytest.approx(0.01)
    assert found[0, 39] == pytest.approx(0.1)


def test_what_is_known_of_darker_things_is_known_of_lighter_ones():
    """Those of its own levels may differ by their move alone."""
    reference = np.full((30, 40, 3), 0.4, np.float32)
    noise = np.full((3, KNOTS + 1), 0.01**2)
    noise[:, KNOTS // 4 :] = 0.1**2
    assert deviation(reference, MASK, allowed(noise), LOOPS).max() == pytest.approx(0.01)  # as well as at .2
    noise[:, : KNOTS // 4] = 0.1**2
    assert deviation(reference, MASK, allowed(noise), LOOPS).min() == pytest.approx(0.1)


def test_what_was_made_from_noise_says_as_little_of_the_next_exposure():
    reference = np.full((30, 40, 3), 0.1, np.float32)
    maps = (intensity_mapping.of_light_ratio(8.0),) * 3
    of_still = allowed(np.full((3, KNOTS + 1), 0.01**2))
    made = np.zeros((30, 40), np.float32)
    made[:, 20:] = 0.04
    found = deviation(reference, MASK, of_still, LOOPS, made, maps)
    assert found[0, 0] == pytest.approx(0.01)
    assert found[0, 39] > 2 * 0.04


DIFFERENCE = 0.1
BOUND = LEAST_BOUND + BOUND_PART * DIFFERENCE


def replaced_by(mask, deviations, before=None, differences=DIFFERENCE):
    return replaced(mask, deviations.astype(np.float32), np.full(mask.shape, differences, np.float32), before, LOOPS)


def two_things(gap):
    """A mask of a thing in two parts, so many cells apart, and one far from it."""
    mask = np.zeros((60, 100), np.float32)
    mask[10:30, 10:20] = mask[10:30, 20 + gap : 30 + gap] = mask[40:50, 70:90] = 1
    return mask


def test_a_region_is_replaced_or_kept_as_a_whole():
    mask = two_things(gap=4)
    deviations = np.full(mask.shape, 0.5 * BOUND, np.float32)
    deviations[:, 22:40] = 2 * BOUND  # one part of the first thing is dim: 1.25 times the bound on the mean
    found = replaced_by(mask, deviations)
    assert found[10:30, 10:34].max() == 0
    assert found[40:50, 70:90].min() == 1
    apart = replaced_by(two_things(gap=12), deviations)
    assert apart[10:30, 10:20].min() == 1
    assert apart[10:30, 32:42].max() < 0.05


def test_what_is_near_the_bound_stays_as_it_was():
    mask = two_things(gap=4)
    near = np.full(mask.shape, BOUND, np.float32)
    for was in (0.0, 1.0):
        deviations, before = near * (1.0 + 0.05 * (2 * was - 1)), np.full(mask.shape, was, np.float32)
        assert replaced_by(mask, deviations, before)[mask > 0].mean() == was


def test_what_is_near_the_bound_is_decided_as_a_whole_where_a_part_was_kept():
    mask = two_things(gap=4)
    before = np.zeros(mask.shape, np.float32)
    before[:, 22:] = 1
    found = replaced_by(mask, np.full(mask.shape, 1.05 * BOUND), before)[10:30, 10:34]
    assert found.min() == found.max()


def test_noise_is_judged_by_what_would_show_twice():
    """A dark shirt before a bright street is replaced, a dim face in a dim hall kept; after a flash, everything."""
    mask = two_things(gap=4)
    noise = np.full(mask.shape, 0.02)
    assert replaced_by(mask, noise, differences=0.3)[mask > 0].min() == 1
    assert replaced_by(mask, noise, differences=0.06)[mask > 0].max() == 0
    assert replaced_by(mask, np.full(mask.shape, 1.1 * MOST_BOUND), differences=0.6)[mask > 0].max() == 0


def test_the_difference_is_from_what_the_darker_exposure_says():
    under = np.random.default_rng(1).uniform(0, 0.3, (30, 40, 3)).astype(np.float32)
    brighter = intensity_mapping.of_light_ratio(4.0).brighter
    over = intensity_mapping.nearest(brighter, under)
    assert LOOPS.green_difference(under, over, brighter, MASK).max() < 1e-6
    assert LOOPS.green_difference(under, over + np.float32(0.2), brighter, MASK).min() == pytest.approx(0.2, abs=1e-6)


@pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_in_one_call_it_is_what_one_after_the_other_gives(threads, made, before):
    rng = np.random.default_rng(4)
    maps = (intensity_mapping.of_light_ratio(3.0),) * 3
    under = np.repeat(np.linspace(0, 0.08, 96)[None, :, None], 60, axis=0) + rng.uniform(0, 0.004, (60, 96, 3))
    under = under.astype(np.float32)
    over = np.clip(intensity_mapping.at(maps[0].brighter, under) + rng.normal(0.12, 0.01, under.shape), 0, 1)
    mask = np.tile(np.pad(np.full((3, 3), 0.9, np.float32), ((0, 9), (0, 9))), (5, 8))  # things far from each other
    noise = np.linspace(0.0203, 0.0143, KNOTS + 1) ** 2 * np.ones((3, 1))  # near the bound
    planes = [rng.uniform(0, level, mask.shape).astype(np.float32) for level in (0.008, 1)]
    given = (
        (under, over.astype(np.float32)),
        mask,
        allowed(noise),
        maps,
        *(plane if wanted else None for plane, wanted in zip(planes, (made, before), strict=True)),
    )
    loops = CompiledLoops(threads)
    found = loops.replacing(*given)
    assert len(np.unique(found.share)) > 5
    for wanted in (ComposedLoops.replacing(loops, *given), LOOPS.replacing(*given)):
        np.testing.assert_allclose(found.deviations, wanted.deviations, rtol=1e-5)
        np.testing.assert_allclose(found.share, wanted.share, atol=2e-3)  # a share is a steep ramp of a difference
        np.testing.assert_allclose(found.mask, wanted.mask, atol=2e-3)
