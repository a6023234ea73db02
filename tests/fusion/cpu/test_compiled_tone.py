"""The quick pass over the pixels against the plain loops, which other tests hold against the definition."""

from dataclasses import replace

import numpy as np
import pytest

from livemef.fusion.cpu import compiled
from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.row_kernels import FusionInput, Job
from livemef.fusion.kernels.shared_library import compiled as loops_are_built
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, extremes, noise, scene

if not loops_are_built() or not compiled.has_tone_pass():
    pytest.skip("this processor has no vectors for the pass, or it is not built", allow_module_level=True)

SIZES = [(1, 1), (2, 16), (3, 7), (33, 130), (90, 161), (40, 257), (400, 20)]


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_tone_pass", lambda: False)


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    apart = np.abs(found.astype(int) - wanted)
    assert (apart <= 1).mean() >= 0.9999
    assert apart.max() <= 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [scene, noise, extremes])
def test_it_gives_what_the_plain_loops_give(kind, size, monkeypatch):
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=24, motion="off"), 1)
    found = fuser.fuse(kind(*size)).pixels
    plain(monkeypatch)
    close(found, fuser.fuse(kind(*size)).pixels)


def job(height, width, seed=3):
    rng = np.random.default_rng(seed)
    under, over = scene(height, width)
    affine = rng.uniform(-0.2, 1, (5, 7, 3)) * (1, 1, 40)
    drift = rng.uniform(0.5, 2, (5, 7, 3))
    out = np.zeros_like(under)
    inputs = [FusionInput(under), FusionInput(over)]
    return Job(inputs, 0, out, FusionSettings(), rng.random((5, 7, 1)), affine, None, [drift])


def test_no_result_depends_on_the_cut():
    whole, parts = job(61, 150), job(61, 150)
    CompiledLoops().fuse(whole)(0, 61)
    for top, bottom in ((0, 1), (1, 17), (17, 40), (40, 61)):
        CompiledLoops().fuse(parts)(top, bottom)
    np.testing.assert_array_equal(whole.out, parts.out)


@pytest.mark.parametrize("which", [0, 1])
def test_the_result_may_take_the_place_of_an_exposure(which):
    apart, together = job(50, 139), job(50, 139)
    CompiledLoops().fuse(apart)(0, 50)
    pixels = together.inputs[which].pixels
    CompiledLoops().fuse(replace(together, out=pixels))(0, 50)
    np.testing.assert_array_equal(apart.out, pixels)


def test_padded_rows_are_taken():
    packed = job(30, 50)
    room = np.full((30, 60, 3), 77, np.uint8)
    room[:, :50] = packed.inputs[1].pixels
    inputs = [packed.inputs[0], FusionInput(room[:, :50])]
    padded = replace(packed, inputs=inputs, out=np.zeros((30, 64, 3), np.uint8)[:, :50])
    CompiledLoops().fuse(packed)(0, 30)
    CompiledLoops().fuse(padded)(0, 30)
    np.testing.assert_array_equal(packed.out, padded.out)


@pytest.mark.parametrize("reference", [0, 1])
def test_with_motion_as_well(reference, monkeypatch):
    under, over = scene(170, 230)
    under = np.roll(under, (2, 3), (0, 1))
    under[50:90, 60:100] = 5
    fuser = CpuFuser(Curve(), FusionSettings(network_lines=40, motion="full"), 2)
    moments = Moments((1.0, 4.0), reference)
    found = fuser.fuse([under, over], moments=moments)
    assert found.motion is not None
    assert found.motion.share > 0
    plain(monkeypatch)
    close(found.pixels, fuser.fuse([under, over], moments=moments).pixels)
