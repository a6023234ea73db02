"""What a darker reference says of a brighter exposure."""

import numpy as np

from livemef.fusion.motion import ghost_mask
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
    tells = information(reference, allowed(noise), DefinedLoops())
    assert tells[:, :17].min() == 1
    assert tells[:, 23:].max() == 0


def test_what_is_known_of_darker_things_is_known_of_lighter_ones():
    """Those of its own levels may differ by their move alone."""
    reference = np.full((30, 40, 3), 0.4, np.float32)
    noise = np.full((3, KNOTS + 1), 0.01**2)
    noise[:, KNOTS // 4 :] = 0.1**2
    assert information(reference, allowed(noise), DefinedLoops()).min() == 1  # as well as at .2
    noise[:, : KNOTS // 4] = 0.1**2
    assert information(reference, allowed(noise), DefinedLoops()).max() == 0
