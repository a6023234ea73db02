"""What a darker reference says of a brighter exposure."""

import numpy as np
import pytest

from livemef.fusion.motion import ghost_mask, intensity_mapping
from livemef.fusion.motion.information import information
from livemef.fusion.motion.intensity_mapping import KNOTS
from livemef.fusion.motion.loops import DefinedLoops


def allowed(noise):
    return ghost_mask.Allowed(np.zeros((3, KNOTS + 1)), noise)


def test_a_dark_reference_says_nothing_where_its_noise_covers_all():
    reference = np.full((30, 40, 3), 0.4, np.float32)
    reference[:, 20:] = 0.01
    noise = np.full((3, KNOTS + 1), 0.01**2)
    noise[:, : KNOTS // 10] = 0.1**2
    tells, deviation = information(reference, allowed(noise), DefinedLoops())
    assert deviation[0, 0] == pytest.approx(0.01)
    assert deviation[0, 39] == pytest.approx(0.1)
    assert tells[:, :17].min() == 1
    assert tells[:, 23:].max() == 0


def test_what_is_known_of_darker_things_is_known_of_lighter_ones():
    """Those of its own levels may differ by their move alone."""
    reference = np.full((30, 40, 3), 0.4, np.float32)
    noise = np.full((3, KNOTS + 1), 0.01**2)
    noise[:, KNOTS // 4 :] = 0.1**2
    assert information(reference, allowed(noise), DefinedLoops())[0].min() == 1  # as well as at .2
    noise[:, : KNOTS // 4] = 0.1**2
    assert information(reference, allowed(noise), DefinedLoops())[0].max() == 0


def test_what_was_made_from_noise_says_as_little_of_the_next_exposure():
    reference = np.full((30, 40, 3), 0.1, np.float32)
    maps = (intensity_mapping.of_light_ratio(8.0),) * 3
    of_still = allowed(np.full((3, KNOTS + 1), 0.01**2))
    made = np.zeros((30, 40), np.float32)
    made[:, 20:] = 0.04
    tells, deviation = information(reference, of_still, DefinedLoops(), made, maps)
    assert tells[:, :17].min() == 1
    assert tells[:, 23:].max() == 0
    assert deviation[0, 39] > 2 * 0.04
