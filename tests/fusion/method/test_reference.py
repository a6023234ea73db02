from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from livemef.fusion.method import colour, guide_planes, reference
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, extremes, noise, scene

still = partial(FusionSettings, motion="off")


class Take:
    """A LightnessNet that returns one of its inputs."""

    sha256, name, multiple = "1" * 64, "take", 1

    def __init__(self, bright):
        self.bright = bright

    def __call__(self, dark, bright):
        return bright if self.bright else dark


FULL = still(network_lines=0, gamma=1.0, white=0)


def test_a_bracket_of_one_picture_twice_gives_that_picture():
    under, _ = scene(60, 80)
    fused = reference.fuse([under, under], Take(bright=True), FULL).astype(int)
    assert np.abs(fused - under).max() <= 1


@pytest.mark.parametrize("transfer", ["tone", "chromaticity", "lab"])
def test_the_lightness_is_the_networks(transfer):
    """For `tone` that of the luma, where the colour is not cut off at the gamut."""
    under, over = scene(50, 70)
    settings = replace(FULL, colour=transfer)
    fused = reference.fuse([under, over], Take(bright=True), settings)
    found, wanted = (reference.guide_lightness(colour.from_codes(picture), settings) for picture in (fused, over))
    different = np.abs(found - wanted)
    assert (different if transfer != "tone" else different[(fused > 0).all(-1) & (fused < 255).all(-1)]).max() < 0.6


def test_the_local_model_brings_a_small_result_to_full_size():
    under, over = scene(270, 480)
    full = reference.fuse([under, over], Take(bright=True), FULL).astype(int)
    small = reference.fuse([under, over], Take(bright=True), replace(FULL, network_lines=67)).astype(int)
    blurred = cv2.resize(cv2.resize(full.astype(np.float32), (119, 67), interpolation=cv2.INTER_AREA), (480, 270))
    # the target is affine in the guides, so that only eps and noise keep the model from being exact
    assert np.abs(small - full).mean() < 1.2
    assert np.abs(small - full).mean() < 0.5 * np.abs(blurred - full).mean()


def test_gamma_below_one_brightens_in_both_modes():
    pair = scene(64, 96)
    for lines in (0, 32):
        plain, brighter = (
            reference.fuse(pair, Curve(), still(network_lines=lines, gamma=gamma)) for gamma in (1.0, 0.8)
        )
        assert brighter.mean() > plain.mean() + 2


def test_adaptive_gamma_brings_the_mean_lightness_towards_the_target():
    pair = scene(64, 96)
    means = []
    for gamma in (1.0, "adaptive"):
        fused = reference.fuse(pair, Curve(), still(network_lines=0, gamma=gamma, adaptive_target=0.6))
        means.append(colour.lab_from_linear(colour.decode(colour.from_codes(fused)))[0].mean())
    assert abs(means[1] - 60) < abs(means[0] - 60)


def test_a_clipped_highlight_takes_its_colour_from_the_dark_exposure():
    """An orange wall, red and green clipped in the bright exposure: yellow there, orange in the dark one."""
    linear = np.broadcast_to([0.05, 0.45, 0.9], (64, 64, 3))
    under, over = (
        colour.to_codes(colour.encode(np.clip(linear * light, 0, 1)), np.dtype(np.uint8)) for light in (0.3, 4.0)
    )
    fused = reference.fuse([under, over], Curve(), still(network_lines=0, colour="chromaticity"))
    hue = [
        np.arctan2(*colour.lab_from_linear(colour.decode(colour.from_codes(p[:1, :1])))[:0:-1])
        for p in (under, fused, over)
    ]
    assert hue[1] == pytest.approx(hue[0], abs=0.12)
    assert abs(hue[2] - hue[0]) > 0.3


def test_near_black_noise_brings_no_colour():
    rng = np.random.default_rng(0)
    under = rng.integers(0, 5, (64, 64, 3)).astype(np.uint8)
    over = np.full((64, 64, 3), 90, np.uint8)
    fused = reference.fuse([under, over], Take(bright=True), FULL).astype(int)
    assert np.abs(fused - 90).max() <= 1


@pytest.mark.parametrize("make", [scene, noise, extremes])
@pytest.mark.parametrize(("transfer", "rule"), [("tone", "select"), ("lab", "select"), ("chromaticity", "weighted")])
def test_every_picture_gives_a_picture(make, rule, transfer):
    settings = still(network_lines=32, chroma=rule, colour=transfer)
    with np.errstate(all="raise", under="ignore"):
        fused = reference.fuse(make(70, 90), Curve(), settings)
    assert fused.shape == (70, 90, 3)
    assert fused.dtype == np.uint8


class Mean:
    """A LightnessNet: the mean. Remembers what it was given, by the mean of each plane."""

    sha256, name, multiple = "3" * 64, "mean", 1

    def __init__(self):
        self.calls = []

    def __call__(self, dark, bright):
        self.calls.append((round(float(dark.mean()), 3), round(float(bright.mean()), 3)))
        return (dark + bright) / 2


@pytest.mark.parametrize(
    ("count", "calls"),
    [
        (2, [(0.1, 0.2)]),
        (3, [(0.1, 0.2), (0.15, 0.3)]),
        (4, [(0.1, 0.2), (0.3, 0.4), (0.15, 0.35)]),
        (5, [(0.1, 0.2), (0.3, 0.4), (0.15, 0.35), (0.25, 0.5)]),
    ],
)
def test_more_exposures_are_fused_as_a_tree_of_neighbours(count, calls):
    net, planes = Mean(), [np.full((4, 5), 10.0 * (index + 1)) for index in range(count)]
    guide_planes.network_lightness(net, planes)
    assert net.calls == calls


@pytest.mark.parametrize("lines", [0, 40])
@pytest.mark.parametrize("transfer", ["tone", "lab", "chromaticity"])
def test_a_bracket_of_one_picture_many_times_gives_that_picture(transfer, lines):
    picture = scene(60, 80)[0]
    settings = still(network_lines=lines, gamma=1.0, white=0, colour=transfer)
    for count in (3, 4, 6):
        fused = reference.fuse([picture] * count, Mean(), settings).astype(int)
        assert np.abs(fused - picture).max() <= (1 if lines == 0 else 4)


@pytest.mark.parametrize("transfer", ["tone", "lab", "chromaticity"])
def test_the_middle_exposure_gives_its_colours_where_it_alone_has_them(transfer):
    """Dark: nearly black. Bright: white. The middle one: a green, at which the lightness is."""
    green = np.tile([60, 140, 80], (40, 40, 1)).astype(np.uint8)
    exposures = [np.full_like(green, 2), green, np.full_like(green, 255)]
    lightness = reference.guide_lightness(colour.from_codes(green), replace(FULL, colour=transfer)) / 100
    fused = reference.fuse(exposures, lambda dark, bright: lightness.astype(np.float32), replace(FULL, colour=transfer))
    found, wanted = (colour.lab_from_linear(colour.decode(colour.from_codes(p[:1, :1]))) for p in (fused, green))
    np.testing.assert_allclose(np.ravel(found), np.ravel(wanted), atol=3)


@pytest.mark.parametrize("rule", ["select", "weighted"])
def test_a_colour_keeps_its_hue_and_saturation_whatever_the_lightness(rule):
    """Both exposures see one colour, one stop and a half apart: so must the result, at a lightness of its own."""
    linear = np.array([0.05, 0.1, 0.2])  # blue, green, red: an orange
    pair = [colour.to_codes(colour.encode(np.tile(gain * linear, (32, 32, 1))), np.dtype(np.uint16)) for gain in (1, 3)]
    settings = replace(FULL, chroma=rule, colour="chromaticity")
    fused = reference.fuse(pair, lambda under, over: (under + over) / 2, settings)
    got = colour.decode(colour.from_codes(fused))
    np.testing.assert_allclose(
        got / got.sum(axis=-1, keepdims=True), np.tile(linear / linear.sum(), (32, 32, 1)), atol=2e-4
    )
    lightness = [colour.lab_from_linear(gain * linear)[0] for gain in (1, 3)]
    np.testing.assert_allclose(colour.lab_from_linear(got)[0], np.mean(lightness), atol=0.01)
