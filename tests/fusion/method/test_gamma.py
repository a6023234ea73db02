import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.method.gamma import ADAPTIVE_RANGE, adaptive_gamma, compensate, exponent

means = st.floats(0, 1)
targets = st.floats(0.05, 0.95)


@given(means, targets)
def test_the_adaptive_exponent_stays_in_its_range(mean, target):
    low, high = ADAPTIVE_RANGE
    assert low <= adaptive_gamma(mean, target) <= high


@given(st.floats(0.44, 0.56))
def test_within_its_range_it_brings_the_mean_to_the_target(mean):
    assert mean ** adaptive_gamma(mean, 0.5) == pytest.approx(0.5, abs=1e-9)


@given(means, means, targets)
def test_a_darker_picture_never_gets_a_larger_exponent(one, other, target):
    darker, lighter = sorted((one, other))
    assert adaptive_gamma(darker, target) <= adaptive_gamma(lighter, target)


@given(st.floats(0.25, 4))
def test_compensation_keeps_black_and_white_and_order(gamma):
    lightness = np.linspace(0, 1, 50)
    result = compensate(lightness, gamma)
    assert result[0] == 0
    assert result[-1] == 1
    assert (np.diff(result) > 0).all()


def test_exponents_below_one_brighten():
    assert compensate(np.array([0.25]), 0.5)[0] == pytest.approx(0.5)


def test_the_setting_chooses():
    dark = np.full((4, 4), 0.45)
    assert exponent(0.9, dark, 0.5) == 0.9
    assert exponent("adaptive", dark, 0.5) == pytest.approx(np.log(0.5) / np.log(0.45))
