from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from livemef.fusion.method import colour, reference
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


def test_more_exposures_are_folded_from_the_dark_end():
    dark, bright = scene(40, 60)
    middle = ((dark.astype(int) + bright) // 2).astype(np.uint8)
    settings = still(network_lines=0)
    first = reference.fuse([dark, middle], Curve(), settings)
    folded = reference.fuse([dark, middle, bright], Curve(), settings)
    np.testing.assert_array_equal(folded, reference.fuse([first, bright], Curve(), settings))


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
