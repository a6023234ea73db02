"""What a darker reference says of a brighter exposure, and in which colour."""

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import colour_range, ghost_mask
from livemef.fusion.motion.information import information, likely_colour
from livemef.fusion.motion.intensity_mapping import KNOTS
from livemef.fusion.motion.loops import DefinedLoops

LINEAR = np.repeat(np.minimum(4 * np.linspace(0, 1, KNOTS + 1), 1)[None], 3, axis=0)
"""The other exposure's values: four times the reference's."""


def test_a_dark_reference_says_nothing_where_its_noise_covers_all():
    reference = np.full((30, 40, 3), 0.4, np.float32)
    reference[:, 20:] = 0.01
    noise = np.full((3, KNOTS + 1), 0.01**2)
    noise[:, : KNOTS // 10] = 0.1**2
    allowed = ghost_mask.Allowed(np.zeros((3, KNOTS + 1)), noise)
    tells, colour = information(reference, allowed, allowed, DefinedLoops())
    assert tells[:, :17].min() == colour[:, :17].min() == 1
    assert tells[:, 23:].max() == colour[:, 23:].max() == 0


def test_the_colour_of_what_moves_is_known_where_that_of_darker_things_is():
    """Of all cells, those of its own levels differ by its move alone."""
    reference = np.full((30, 40, 3), 0.4, np.float32)
    noise = np.full((3, KNOTS + 1), 0.01**2)
    of_still = ghost_mask.Allowed(np.zeros((3, KNOTS + 1)), noise)
    noise = noise.copy()
    noise[:, KNOTS // 4 :] = 0.1**2
    of_all = ghost_mask.Allowed(np.zeros((3, KNOTS + 1)), noise)
    for part in information(reference, of_all, of_all, DefinedLoops()):
        assert part.min() == 1  # as well as at .2
    noise[:, : KNOTS // 4] = 0.1**2
    assert information(reference, of_all, of_all, DefinedLoops())[1].max() == 0
    assert information(reference, of_all, of_still, DefinedLoops())[1].min() == 1
    assert information(0 * reference, of_all, of_still, DefinedLoops())[1].max() == 0  # black says nothing


def night():
    """A grey road with a reddish cell of .015 in one place, as two exposures show it."""
    reference = np.full((40, 60, 3), 0.02, np.float32)
    there = 4 * reference
    reference[20, 30], there[24, 25] = (0.01, 0.01, 0.03), (0.04, 0.04, 0.12)  # it has moved
    return reference, there


def test_a_colour_that_is_near_in_the_other_exposure_is_believed():
    reference, there = night()
    assert likely_colour(reference, there, LINEAR, np.ones((40, 60), np.float32), DefinedLoops()).min() > 0.99


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_block_of_a_colour_that_nothing_near_has_is_not_believed(channel):
    reference, there = night()
    reference[4:12, 8:16, channel] = 0.04
    likely = likely_colour(reference, there, LINEAR, np.ones((40, 60), np.float32), DefinedLoops())
    assert likely[5:11, 9:15].max() == 0
    assert likely[14:, 20:].min() > 0.99
    there[:, :] += np.float32(0.08) * (np.arange(3) == channel)  # now all is of that colour
    assert likely_colour(reference, there, LINEAR, np.ones((40, 60), np.float32), DefinedLoops())[5:11, 9:15].min() == 1


def test_a_colour_that_is_not_dim_is_believed():
    reference = np.full((40, 60, 3), 0.2, np.float32)
    there = 4 * reference
    reference[4:12, 8:16, 2] = 0.22
    assert likely_colour(reference, there, LINEAR, np.ones((40, 60), np.float32), DefinedLoops()).min() == 1


@pytest.mark.skipif(not compiled(), reason="the compiled loops are not built")
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 5), (17, 16), (90, 160)])
@pytest.mark.parametrize("marked", ["all", "some", "border", "none"])
def test_the_compiled_strangeness_is_that_of_the_definition(shape, marked):
    rng = np.random.default_rng(2)
    reference = (0.1 * rng.uniform(0, 1, (*shape, 3))).astype(np.float32)
    there = (0.2 + rng.normal(0, 0.01, reference.shape)).astype(np.float32)
    curves = np.minimum([[1.0], [0.8], [1.2]] * LINEAR, 1)
    where = np.zeros(shape, np.float32)
    if marked == "border":
        where[:, -1] = where[-1:] = 1
    elif marked == "some":
        where[shape[0] // 3 : shape[0] // 2, shape[1] // 2 :: 9] = 0.01
    where = None if marked == "all" else where
    found, wanted = (loops.strangeness(reference, there, curves, where) for loops in (CompiledLoops(), DefinedLoops))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert (wanted.max() > 0.02) == (marked in ("all", "border") or (marked == "some" and where.any()))
    assert DefinedLoops.strangeness is colour_range.strangeness
