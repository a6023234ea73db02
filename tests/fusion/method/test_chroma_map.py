import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from livemef.fusion.method import chroma_map

chromas = arrays(np.float64, 5, elements=st.floats(0, 180))
trusts = arrays(np.float64, 5, elements=st.floats(chroma_map.DARK_FLOOR * chroma_map.CLIP_FLOOR, 1))
rules = st.sampled_from(["select", "weighted"])


def _share(chroma_under, chroma_over, trust_under, trust_over, rule):
    return chroma_map.shares(chroma_map.parts([chroma_under, chroma_over]), [trust_under, trust_over], rule)[0]


@given(chromas, chromas, trusts, trusts, rules)
def test_swapping_the_exposures_swaps_the_shares(chroma_u, chroma_o, trust_u, trust_o, rule):
    under = _share(chroma_u, chroma_o, trust_u, trust_o, rule)
    over = _share(chroma_o, chroma_u, trust_o, trust_u, rule)
    assert ((under >= 0) & (under <= 1)).all()
    np.testing.assert_allclose(under + over, 1, atol=1e-12)


@given(chromas, st.floats(1.7, 5))
def test_select_takes_the_clearly_larger_chroma_whole(chroma, factor):
    larger, trust = factor * (chroma + 1), np.ones(5)
    np.testing.assert_allclose(_share(larger, chroma, trust, trust, "select"), 1, atol=1e-12)
    np.testing.assert_allclose(_share(chroma, larger, trust, trust, "select"), 0, atol=1e-12)


@given(chromas, trusts)
def test_a_tie_is_shared(chroma, trust):
    for rule in ("select", "weighted"):
        np.testing.assert_allclose(_share(chroma, chroma, trust, trust, rule), 0.5)


def test_weighted_shares_by_chroma():
    chroma_u, chroma_o = np.array([29.0]), np.array([9.0])
    share = _share(chroma_u, chroma_o, np.ones(1), np.ones(1), "weighted")
    assert share[0] == pytest.approx(0.75)


def test_an_unreliable_pixel_loses_even_with_the_larger_chroma():
    clipped = chroma_map.reliability(np.array([80.0]), np.array([1.0]))
    sound = chroma_map.reliability(np.array([40.0]), np.array([0.3]))
    share = _share(np.array([10.0]), np.array([60.0]), sound, clipped, "select")
    assert share[0] == 1


def test_near_black_loses_and_two_unreliable_pixels_still_share():
    black = chroma_map.reliability(np.array([1.0]), np.array([0.002]))
    sound = chroma_map.reliability(np.array([40.0]), np.array([0.3]))
    assert _share(np.array([30.0]), np.array([10.0]), black, sound, "select")[0] == 0
    assert _share(np.zeros(1), np.zeros(1), black, black, "select")[0] == 0.5


@given(st.floats(0, 100), st.floats(0, 1))
def test_reliability_is_continuous_and_within_its_bounds(lightness, largest):
    steps = np.array([-1e-6, 0, 1e-6])
    along_l = chroma_map.reliability(lightness + steps, np.full(3, largest))
    along_max = chroma_map.reliability(np.full(3, lightness), largest + steps)
    assert np.abs(np.diff(along_l)).max() < 1e-5
    assert np.abs(np.diff(along_max)).max() < 1e-4
    assert chroma_map.DARK_FLOOR * chroma_map.CLIP_FLOOR <= along_l[1] + 1e-12 <= 1 + 1e-9


def test_a_colour_from_the_dark_loses_trust_the_more_it_is_brightened():
    factors = chroma_map.brightened_trust(np.array([50.0, 50, 20, 5]), np.array([40.0, 60, 60, 80]))
    assert factors[0] == factors[1] == 1
    assert 1 > factors[2] > factors[3] > 0


@given(st.lists(st.tuples(chromas, trusts), min_size=3, max_size=5), rules)
def test_the_shares_of_more_exposures_are_one_in_all_whatever_their_order(exposures, rule):
    def shares(order):
        chroma, trust = zip(*order, strict=True)
        return chroma_map.shares(chroma_map.parts(chroma), trust, rule)

    found = shares(exposures)
    assert all(((share >= -1e-12) & (share <= 1 + 1e-12)).all() for share in found)
    np.testing.assert_allclose(sum(found), 1, atol=1e-12)
    np.testing.assert_allclose(shares(exposures[::-1])[::-1], found, atol=1e-12)


def test_select_among_three_takes_nearly_all_from_the_one_of_clearly_the_largest_chroma():
    chroma, trust = [np.array([3.0]), np.array([80.0]), np.array([5.0])], [np.ones(1)] * 3
    select, weighted = (
        chroma_map.shares(chroma_map.parts(chroma), trust, rule)[1][0] for rule in ("select", "weighted")
    )
    assert select > 0.97 > weighted
