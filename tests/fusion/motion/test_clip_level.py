"""The value at which exposures clip where it is not the top of the codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.motion import clip_level, intensity_mapping
from livemef.fusion.motion.clip_level import LEAST, MOST, followed, found
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.motion.intensity_mapping import KNOTS, histograms
from livemef.fusion.motion.loops import DefinedLoops
from livemef.fusion.motion.steadiness import Place
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve

needs_compiled = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")


def scene(top=3.0, seed=1):
    """Light of a picture whose brighter half runs up to so many times the light that is white."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(0, 1, (60, 90, 3)) ** 2 * top).astype(np.float32)


def taken(light, gain, white, noise=0.004, seed=2):
    """Encoded values whose white is at `white`."""
    encoded = np.minimum(light * gain, 1) ** 0.45 * white + np.random.default_rng(seed).normal(0, noise, light.shape)
    return np.clip(encoded, 0, 1).astype(np.float32)


def level_of(light, white, gain=1.0, **options):
    dark, bright = taken(light, gain / 8, white, **options), taken(light, gain, white, **options)
    return found(histograms(dark), histograms(bright))


@pytest.mark.parametrize("white", [0.80, 0.86, 0.92, 0.95])
def test_white_below_the_top_of_the_codes_is_found(white):
    assert white - 0.005 < level_of(scene(), white) < white + 0.02


@pytest.mark.parametrize("white", [0.98, 1.0])
def test_white_at_the_top_is_1(white):
    assert level_of(scene(), white) == 1


def test_what_is_bright_but_does_not_clip_is_no_white():
    assert level_of(scene(), 1.0, gain=0.25) == 1
    assert level_of(scene(), 0.92, gain=0.25) == 1


def test_a_wall_of_one_brightness_is_no_white():
    wall = scene(0.3)
    wall[:40] = 0.8
    assert level_of(wall, 1.0) == 1


@given(st.integers(0, 2**31), st.floats(0.1, 4))
def test_it_is_between_its_bounds_or_1(seed, power):
    dark, bright = (np.random.default_rng(seed + k).uniform(0, 1, (3, KNOTS + 1)) ** (6 * power) for k in (0, 1))
    level = found(dark, bright)
    assert level == 1 or LEAST <= level < MOST


def test_it_is_kept_while_nothing_clips_until_something_is_brighter():
    dim = [histograms(taken(scene(), gain, 0.92)) for gain in (0.02, 0.1)]
    top = [histograms(taken(scene(), gain, 1.0)) for gain in (1 / 8, 1.0)]
    assert followed(0.92, *dim) == 0.92
    assert followed(0.92, *top) == 1
    assert followed(1.0, *dim) == 1


def a_walk_before_bright_sky(white, frames=8):
    """Frames, dark and bright in turn, of a post that walks in front of a sky that clips, noisy as a codec's."""
    light = np.linspace(1, 6, 96)[None, :, None] * np.array([1.1, 1.0, 0.9]) * np.ones((72, 1, 1))
    light[50:] = 0.15
    pictures = []
    for number in range(frames):
        moment = light.copy()
        moment[20:65, 10 + 6 * number : 18 + 6 * number] = [0.02, 0.03, 0.05]
        pictures.append(taken(moment, (1 / 8, 1.0)[number % 2], white, 0.008, number))
    return [np.round(picture * 255).astype(np.uint8) for picture in pictures]


def reddest_sky(monkeypatch, level=None):
    """Largest difference of the channels over the sky, in codes, of the last bracket with the bright frame newest."""
    if level is not None:
        monkeypatch.setattr(clip_level, "found", lambda dark, bright: level)
    frames = a_walk_before_bright_sky(235 / 255)
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=36), threads=1)
    for newest in range(1, len(frames)):
        order = (newest, newest - 1) if newest % 2 == 0 else (newest - 1, newest)
        moments = Moments((1.0, 8.0), None, Place(0, order))
        fused = fuser.fuse([frames[number] for number in order], moments=moments).pixels
    sky = fused[:45].astype(int)
    return np.percentile(sky.max(axis=-1) - sky.min(axis=-1), 99)


def test_sky_that_clips_at_235_gets_no_coloured_specks_where_things_move(monkeypatch):
    with_it = reddest_sky(monkeypatch)
    assert with_it < 0.9 * reddest_sky(monkeypatch, level=1.0)


@pytest.mark.parametrize("loops", [DefinedLoops, pytest.param(CompiledLoops, marks=needs_compiled)])
def test_nothing_is_mapped_above_the_value_at_which_exposures_clip(loops):
    """The known ratio of light would, through sRGB, where the pictures have shown little: sky in a first bracket."""
    dark, bright = (histograms(taken(scene(), gain, 0.86, noise=0)) for gain in (1 / 8, 1.0))
    known = (intensity_mapping.of_light_ratio(8.0),) * 3
    few = loops().learned(dark, bright, known, 10**6, 0.86)
    assert max(one.brighter.max() for one in few) < 0.862
    lit = loops().balanced(few, dark, np.roll(bright, 50, axis=1), 6000)
    assert max(one.brighter.max() for one in lit) < 0.862
