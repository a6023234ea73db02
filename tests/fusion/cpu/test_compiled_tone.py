"""The quick pass over the pixels against the plain loops, which other tests hold against the definition."""

from dataclasses import replace

import numpy as np
import pytest

from livemef.fusion.cpu import compiled, compiled_tone
from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.compiled_tone import F_OF_LUMA, LUMA_OF_F, is_quick, pieces_of
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.row_kernels import FusionInput, Job, NumpyLoops
from livemef.fusion.kernels.shared_library import compiled as loops_are_built
from livemef.fusion.kernels.shared_library import library
from livemef.fusion.motion.compensation import Moments
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, extremes, noise, scene, series

if not loops_are_built() or not compiled_tone.has_tone_pass():
    pytest.skip("this processor has no vectors for the pass, or it is not built", allow_module_level=True)

SIZES = [(1, 1), (2, 16), (3, 7), (33, 130), (90, 161), (40, 257), (400, 20)]
KINDS = [(2, np.uint8), (3, np.uint8), (4, np.uint8), (2, np.uint16), (3, np.uint16), (4, np.uint16)]


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "is_quick", lambda job: False)


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


def job(height, width, count=2, dtype=np.uint8, seed=3):
    rng = np.random.default_rng(seed)
    pictures = series(count, height, width, dtype, seed)
    affine = np.concatenate([rng.uniform(-0.2, 2 / count, (5, 7, count)), rng.uniform(0, 40, (5, 7, 1))], axis=-1)
    parts = rng.dirichlet(np.ones(count), (5, 7))[..., : 1 if count == 2 else 0]
    drifts = [rng.uniform(0.5, 2, (5, 7, 3)) for _ in range(count - 1)]
    inputs = [FusionInput(pixels) for pixels in pictures]
    return Job(
        inputs,
        0,
        np.zeros_like(pictures[0]),
        FusionSettings(),
        np.concatenate([affine, parts], axis=-1),
        None,
        drifts,
        1.07,
    )


def noisy(count, height, width, dtype, seed=5):
    """Exposures that have nothing in common; a quarter of the samples black or full."""
    rng = np.random.default_rng(seed)
    most = int(np.iinfo(dtype).max)
    codes = rng.integers(0, most + 1, (count, height, width, 3))
    ends = rng.integers(0, 2, codes.shape) * most
    return list(np.where(rng.random(codes.shape) < 0.25, ends, codes).astype(dtype))


@pytest.mark.parametrize(("count", "dtype"), KINDS)
@pytest.mark.parametrize("kind", ["scene", "noise"])
def test_it_is_within_a_code_of_the_definition(kind, count, dtype):
    done = job(67, 150, count, dtype)
    if kind == "noise":
        done = replace(done, inputs=[FusionInput(pixels) for pixels in noisy(count, 67, 150, dtype)])
    assert is_quick(done)
    wanted = replace(done, out=np.zeros_like(done.out))
    CompiledLoops().fuse(done)(0, 67)
    NumpyLoops().fuse(wanted)(0, 67)
    apart = np.abs(done.out.astype(int) - wanted.out)
    assert (apart <= 1).mean() >= 0.9999
    assert apart.mean() < 0.02


@pytest.mark.parametrize(("count", "dtype"), KINDS)
@pytest.mark.parametrize("reference", [0, 1, -1])
def test_with_motion_it_gives_what_the_plain_loops_give(reference, count, dtype, monkeypatch):
    pictures = [
        np.roll(one, (2 * place, 3 * place), (0, 1)) for place, one in enumerate(series(count, 170, 230, dtype))
    ]
    for place, one in enumerate(pictures):
        one[50:90, 20 + 50 * place : 60 + 50 * place] = one.max() // 50
    moments = Moments(tuple(4.0**place for place in range(count)), range(count)[reference])
    settings = FusionSettings(network_lines=40, motion="full")
    fuser = CpuFuser(Curve(), settings, 2)
    found = fuser.fuse(pictures, moments=moments)
    assert found.motion is not None
    assert found.motion.share > 0
    plain(monkeypatch)
    close(found.pixels, fuser.fuse(pictures, moments=moments).pixels)


def test_no_result_depends_on_the_cut():
    for count, dtype in KINDS:
        whole, parts = job(61, 150, count, dtype), job(61, 150, count, dtype)
        CompiledLoops().fuse(whole)(0, 61)
        for top, bottom in ((0, 1), (1, 17), (17, 40), (40, 61)):
            CompiledLoops().fuse(parts)(top, bottom)
        np.testing.assert_array_equal(whole.out, parts.out)


@pytest.mark.parametrize(("count", "dtype"), KINDS)
@pytest.mark.parametrize("which", [0, -1])
def test_the_result_may_take_the_place_of_an_exposure(which, count, dtype):
    apart, together = job(50, 139, count, dtype), job(50, 139, count, dtype)
    CompiledLoops().fuse(apart)(0, 50)
    pixels = together.inputs[which].pixels
    CompiledLoops().fuse(replace(together, out=pixels))(0, 50)
    np.testing.assert_array_equal(apart.out, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_padded_rows_are_taken_and_nothing_beside_the_result_is_written(dtype):
    packed = job(30, 50, 2, dtype)
    room = np.full((30, 60, 3), 77, dtype)
    room[:, :50] = packed.inputs[1].pixels
    inputs = [packed.inputs[0], FusionInput(room[:, :50])]
    out = np.full((30, 64, 3), 99, dtype)
    padded = replace(packed, inputs=inputs, out=out[:, :50])
    CompiledLoops().fuse(packed)(0, 30)
    CompiledLoops().fuse(padded)(0, 30)
    np.testing.assert_array_equal(packed.out, padded.out)
    assert (out[:, 50:] == 99).all()


def test_what_it_is_not_made_for_goes_through_the_plain_loops():
    quick = job(20, 30)
    five = job(20, 30, 5)
    assert is_quick(quick)
    assert not is_quick(five)
    assert not is_quick(replace(quick, settings=FusionSettings(colour="chromaticity")))
    assert not is_quick(replace(quick, lightness=np.zeros((20, 30), np.float32)))


@pytest.mark.parametrize("codes", [256, 65536])
def test_no_polynomial_has_to_follow_a_bend(codes):
    """Curves as used: their error where they are worst, in codes and in f."""
    for curve, bound in ((F_OF_LUMA, 7e-5), (LUMA_OF_F, 4e-4)):
        start, scale = curve.place
        assert start + scale * curve.knees[0] == pytest.approx(1.5)
        assert start + scale * curve.knees[1] == pytest.approx(2.0)
        terms = pieces_of(curve, codes > 256)
        x = np.linspace(curve.low, curve.high, 20_011)
        error = np.abs(evaluated(terms, start + scale * x, codes > 256) - curve.function(x)).max()
        assert error < (bound if codes == 256 else 3e-6)


def evaluated(terms: np.ndarray, place: np.ndarray, fine: bool) -> np.ndarray:
    """What kernels/lanes.h makes of the terms, in double precision."""
    shift = library().tone_piece_shift()
    number = place.astype(np.float32).view(np.int32) >> shift
    begin = (number << shift).view(np.float32) if fine else 0
    return sum(terms[power, number % terms.shape[1]] * (place - begin) ** power for power in range(len(terms)))
