"""The colour transfer `tone`, by the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.method import colour, colour_transfer, drift, reference
from livemef.fusion.method.running_means import BRACKETS, RunningMeans, StreamMeans
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.motion.steadiness import Place, StreamMemory
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, scene

codes = st.floats(0, 1)
P = FusionSettings().shoulder
EVEN = np.full((1, 1), 0.5)


def toned(under, over, lightness, drifts=1.0):
    """One pixel fused, the exposures' encoded BGR and the fused lightness given."""
    pair = [np.array(code, float).reshape(1, 1, 3) for code in (under, over)]
    factors = np.full((1, 1, 3), drifts)
    return colour_transfer.tone(pair, np.full((1, 1), lightness), [EVEN, EVEN], [factors], P)[0, 0]


@given(st.tuples(codes, codes, codes))
def test_an_exposure_of_the_wanted_luma_is_not_changed(code):
    luma = np.clip(np.dot(code, colour_transfer.LUMA), *colour_transfer.RANGE)
    found = colour_transfer.exposed(np.array([code]), np.array([luma]), P)
    np.testing.assert_allclose(found[0], code, atol=1e-12)


@given(st.tuples(codes, codes, codes), st.tuples(codes, codes, codes), st.floats(0, 100), st.floats(0.3, 3))
def test_every_colour_gives_a_colour_of_the_wanted_luma(under, over, lightness, drifts):
    found = toned(under, over, lightness, drifts)
    assert ((found >= 0) & (found <= 1)).all()
    if (found > 0).all() and (found < 1).all():
        floor = colour_transfer.least_lightness(np.array(over))
        wanted = colour_transfer.grey_code(np.maximum(lightness, floor))
        assert np.dot(found, colour_transfer.LUMA) == pytest.approx(float(wanted), abs=1e-9)


@given(codes, codes, st.floats(0, 100))
def test_greys_stay_grey(under, over, lightness):
    found = toned([under] * 3, [over] * 3, lightness)
    np.testing.assert_allclose(found, colour_transfer.grey_code(np.array(lightness)), atol=1e-12)


def test_a_saturated_colour_that_both_exposures_show_alike_is_kept():
    for code in ([0, 0, 1], [1, 0, 0], [0, 0.6, 0.9]):
        lightness = colour_transfer.luma_lightness(np.array(code, float))
        np.testing.assert_allclose(toned(code, code, lightness), code, atol=1e-9)


def test_of_three_exposures_that_of_the_fused_lightness_gives_the_colour_not_the_most_colourful():
    """A sky that pales with exposure: the dark exposure is the most colourful one by far."""
    sky = [np.array(code).reshape(1, 1, 3) for code in ([0.6, 0.3, 0.1], [0.8, 0.6, 0.45], [0.92, 0.86, 0.8])]
    lightness, one = colour_transfer.luma_lightness(sky[1]), np.ones((1, 1, 3))
    found = colour_transfer.tone(sky, lightness, [], [one, one], P)
    np.testing.assert_allclose(found, sky[1], atol=0.006)


def test_a_dark_orange_is_brightened_as_a_camera_does_not_to_pink():
    """Its chromaticity does not exist at that lightness: kept, it is mixed with grey. On the tone curve it runs to pale
    yellow: no channel is raised beyond the next brighter one, and the hue turns from red towards yellow."""
    under = np.array([7, 37, 77]) / 255
    blue, green, red = toned(under, [1.0, 1.0, 1.0], 78.0)
    assert blue < green <= red
    assert (green - blue) / (red - blue) > (37 - 7) / (77 - 7)


def test_drift_is_found_and_drawn_on_into_clipped_parts():
    """A camera whose blue rises more than its green: the left half shows it, in the right half the bright one clips."""
    rng = np.random.default_rng(0)
    dark = np.full((90, 160, 3), 0.2) + rng.uniform(-0.05, 0.05, (90, 160, 3))
    more = np.array([1.4, 1.0, 0.9])
    odds = 4 * more * dark / (P - dark)
    bright = np.clip(P * odds / (1 + odds), 0, 1)
    bright[:, 80:] = 1.0
    factors = drift.factors(drift.evidence(dark, bright, P))
    found = np.log(factors[..., 0] / factors[..., 1]) / drift.STRENGTH
    wanted = np.log(more[0] / more[1])
    assert found[:, :60].mean() == pytest.approx(wanted, abs=0.1 * wanted)
    assert found[:, 120:].mean() == pytest.approx(wanted, abs=0.4 * wanted)


def test_nothing_seen_twice_gives_no_drift():
    black, white = np.zeros((20, 30, 3)), np.ones((20, 30, 3))
    np.testing.assert_array_equal(drift.factors(drift.evidence(black, white, P)), 1)


def test_a_streams_measurements_are_averaged_and_a_new_one_begins_anew():
    means, found = RunningMeans(), []
    for value in [1.0] * 40 + [2.0]:
        means.begin()
        found.append(means.white_with(value))
    assert found[:40] == [1.0] * 40
    assert found[40] == pytest.approx(1 + 1 / BRACKETS)
    assert means.drift_with(np.ones((2, 3, 6))).shape == (2, 3, 6)
    assert means.drift_with(np.zeros((4, 3, 6))).max() == 0  # another size
    first = RunningMeans()
    first.begin()
    assert first.share == 1


def test_a_stream_of_one_bracket_again_and_again_gives_its_picture():
    pair, settings, memory = scene(40, 60), FusionSettings(motion="off", network_lines=20), StreamMemory()
    alone = reference.fuse(pair, Curve(), settings)
    for frame in range(3):
        moments = Moments(place=Place(0, (frame, frame + 1)))
        again = reference.fuse(pair, Curve(), settings, moments, memory)
        assert np.abs(again.astype(int) - alone).max() <= 1


def test_means_begin_anew_with_a_still_a_plan_a_size_and_earlier_frames():
    means, shape = StreamMeans(), (4, 6, 3)

    def share(place, shape=shape, exposures=2):
        return means.follow(place, shape, exposures).share

    assert [share(Place(0, (n, n + 1))) for n in range(3)] == [1, 1 / 2, 1 / 3]
    assert share(Place(1, (3, 4))) == 1
    assert share(Place(1, (5, 4))) == 1 / 2
    assert share(Place(1, (5, 6)), (8, 6, 3)) == 1
    assert share(Place(1, (6, 7)), (8, 6, 3), 3) == 1
    assert share(Place(1, (0, 1)), (8, 6, 3), 3) == 1
    assert share(None) == share(None) == 1


@pytest.mark.parametrize("steps", [2.0, 3.0])
def test_on_a_camera_with_a_straight_curve_it_is_hardly_worse_than_chromaticity(steps):
    """An sRGB camera that clips hard: its shoulder is far away. Half-way in lightness the truth is that exposure."""
    rng = np.random.default_rng(1)
    light = np.clip(0.18 * np.exp2(rng.uniform(-1.5, 1.2, (40, 60, 1)) + rng.uniform(-0.5, 0.5, (40, 60, 3))), 0, 1)
    light = np.kron(light[::8, ::8], np.ones((8, 8, 1)))[:40, :60]
    taken = [colour.encode(np.clip(light * 2.0**stop, 0, 1)) for stop in (-steps / 2, 0, steps / 2)]
    truth = np.stack(colour.lab_from_linear(colour.decode(taken[1])), -1)
    errors = {}
    for transfer in ("tone", "chromaticity"):
        settings = FusionSettings(motion="off", network_lines=0, gamma=1.0, white=0, colour=transfer, shoulder=5.0)
        wanted = reference.guide_lightness(taken[1], settings)
        pair = [colour.to_codes(code, np.dtype(np.uint16)) for code in (taken[0], taken[2])]
        fused = reference.fuse(pair, lambda dark, bright, fixed=wanted: _sized(fixed, dark), settings)
        found = np.stack(colour.lab_from_linear(colour.decode(colour.from_codes(fused))), -1)
        errors[transfer] = np.hypot(*np.moveaxis((found - truth)[..., 1:], -1, 0)).mean()
    assert errors["tone"] < errors["chromaticity"] + 0.3


def _sized(wanted, like):
    return (wanted / 100).astype(np.float32)[: like.shape[0], : like.shape[1]]


@pytest.mark.parametrize("shoulder", [1.1, 1.4, 2.0])
def test_the_shoulder_is_found_in_a_measured_response(shoulder):
    codes = np.linspace(0, 1, 257)
    light = (codes / (shoulder - codes)) ** 1.8
    assert colour_transfer.fitted_shoulder([light / light.max()] * 3) == pytest.approx(shoulder, rel=0.04)


def test_a_straight_curve_has_its_shoulder_far_away():
    assert 2.3 < colour_transfer.fitted_shoulder([colour.decode(np.linspace(0, 1, 257))]) < 3.2


def test_saturated_colours_are_not_darkened_to_black():
    """A dark red that the fused lightness would make black keeps a part of the brightest exposure's L*."""
    red, grey = np.tile([0.1, 0.08, 0.45], (4, 4, 1)), np.full((4, 4, 3), 0.2)
    for bright, least in ((red, 0.35), (grey, 0.0)):
        own, black = colour_transfer.luma_lightness(bright), np.zeros((4, 4))
        half = np.full((4, 4), 0.5)
        fused = colour_transfer.tone([bright / 8, bright], black, [half, half], [np.ones((4, 4, 3))], P)
        found = colour_transfer.luma_lightness(fused)
        assert (found >= least * own - 1e-9).all()
        assert (found <= colour_transfer.COLOUR_FLOOR * own + 1e-9).all()
    assert colour_transfer.least_lightness(np.zeros((2, 2, 3))).tolist() == [[0, 0], [0, 0]]


def test_a_clipped_red_beside_a_nearly_clipped_green_stays_red():
    """Carpet in lamp light (measured): at the wanted luma the camera shows red 40 codes above green; from the clipped
    exposure alone it would be 9, a greenish yellow."""
    under, over = np.array([1, 5, 20]) / 255, np.array([131, 246, 253]) / 255
    _, green, red = 255 * toned(under, over, 67.0)
    assert 22 < red - green < 45
    assert colour_transfer.clipped_gain(under, over, P)[2] > 0.5


@given(st.tuples(codes, codes, codes), st.tuples(*[st.floats(0, colour_transfer.CLIP_RAMP[0])] * 3))
def test_what_does_not_clip_needs_nothing_from_a_darker_exposure(darker, code):
    assert colour_transfer.clipped_gain(np.array(darker), np.array(code), P).tolist() == [0, 0, 0]


@given(st.floats(0.9, 1), st.tuples(codes, codes, codes))
def test_a_clipped_channel_is_never_lowered_and_noise_near_black_gives_no_colour(white, darker):
    gain = colour_transfer.clipped_gain(np.array(darker), np.full(3, white), P)
    assert np.isfinite(gain).all()
    assert (gain >= 0).all()
    assert (gain[np.array(darker) <= colour_transfer.SEEN_RAMP[0]] == 0).all()
