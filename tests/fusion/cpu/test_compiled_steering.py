"""The compiled loops over small planes against their definitions."""

import numpy as np
import pytest

from livemef.fusion.cpu.compiled import CompiledLoops
from livemef.fusion.cpu.row_kernels import NumpyLoops
from livemef.fusion.kernels.shared_library import compiled
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.motion.registration import Move
from livemef.fusion.settings import FusionSettings

pytestmark = pytest.mark.skipif(not compiled(), reason="the compiled loops are not built here")
SHAPES = [(1, 1), (1, 30), (9, 2), (7, 13), (45, 80)]
RNG = np.random.default_rng(3)


def planes(count, shape, top=100.0):
    """Smooth planes with noise, 0..top, float32."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [np.sin(0.1 * (index + 1) * x + 0.07 * y + index) for index in range(count)]
    noise = RNG.normal(0, 0.1, (count, *shape))
    return list(np.clip(top * (0.5 + 0.45 * np.array(waves) + noise), 0, top).astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("exposures", [2, 3, 4, 5, 16])
def test_coefficients(shape, exposures):
    lights, target = planes(exposures, shape), planes(1, shape)[0]
    settings = FusionSettings()
    found = CompiledLoops().affine_planes(lights, target, settings)
    wanted = NumpyLoops().affine_planes(lights, target, settings)
    assert found.shape == (*shape, exposures + 1)
    np.testing.assert_allclose(found[..., :-1], wanted[..., :-1], atol=1e-5)
    np.testing.assert_allclose(found[..., -1], wanted[..., -1], atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("exposures", [2, 3, 5])
def test_parts_of_the_chroma(shape, exposures):
    chromas = planes(exposures, shape, 60)
    np.testing.assert_allclose(CompiledLoops().chroma_parts(chromas), NumpyLoops().chroma_parts(chromas), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("exposures", [2, 3])
def test_drift(shape, exposures):
    smalls = [np.stack(planes(3, shape, 1.0), axis=-1) for _ in range(exposures)]
    evidence = [loops().drift_evidence(smalls, FusionSettings()) for loops in (CompiledLoops, NumpyLoops)]
    np.testing.assert_allclose(*evidence, atol=2e-6)
    for found, wanted in zip(*evidence, strict=True):
        factors = CompiledLoops().drift_factors(found), NumpyLoops().drift_factors(wanted)
        np.testing.assert_allclose(*factors, rtol=2e-6)


@pytest.mark.parametrize("exponent", [0.25, 0.95, "adaptive", 4.0])
@pytest.mark.parametrize("white", [0, 95.0])
def test_the_lightness_wanted(exponent, white):
    fused, brightest = planes(1, (45, 80), 0.9)[0], planes(1, (45, 80), 95)[0]
    fused[0, :2], fused[1, 0] = (-0.1, 1.1), 0
    settings = FusionSettings(gamma=exponent, white=white)
    found, wanted = (
        loops().target_lightness(fused, brightest, settings, RunningMeans(1)) for loops in (CompiledLoops, NumpyLoops)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("level", [0, 37.2, 100])
def test_the_white_of_an_even_plane(level):
    brightest = np.full((7, 9), level, np.float32)
    check_white(brightest * np.float32(0.0093), brightest)


def test_the_white_of_a_plane_with_values_beyond_its_ends():
    brightest = planes(1, (45, 80))[0]
    brightest[0, :6] = [-1, 0, 0.5, 99.9, 100, 101]
    check_white(np.float32(0.0093) * brightest, brightest)


def check_white(fused, brightest):
    settings = FusionSettings(gamma=1.0)
    means = [RunningMeans(1) for _ in range(2)]
    found, wanted = (
        loops().target_lightness(fused, brightest, settings, one)
        for loops, one in zip((CompiledLoops, NumpyLoops), means, strict=True)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert means[0].white == pytest.approx(means[1].white, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [1, 4, 9])
@pytest.mark.parametrize("cells", [1, 2, 3])
def test_where_nothing_has_changed(shape, radius, cells):
    masks = [(RNG.random((shape[0] * cells, shape[1] * cells)) ** 9).astype(np.float32) for _ in range(3)]
    found, wanted = (loops().still(masks, *shape, radius) for loops in (CompiledLoops, NumpyLoops))
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("count", [1, 4])
def test_means_of_a_cycle(count):
    newest, *others = (np.stack(planes(count, (23, 40)), axis=-1) for _ in range(3))
    part, past = RNG.random((23, 40)).astype(np.float32), [newest, *others]
    found, wanted = (loops().towards_mean(newest, past, part) for loops in (CompiledLoops, NumpyLoops))
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    move = Move(1.3, -0.6, 0.01)
    moved = [loops().moved_planes(found, move) for loops in (CompiledLoops, NumpyLoops)]
    np.testing.assert_allclose(*moved, atol=1e-3)


def test_the_mean_lightness():
    affine, lights = np.stack(planes(3, (23, 40), 2.0), axis=-1) - 0.5, planes(2, (23, 40))
    found, wanted = (loops().mean_lightness(affine, lights) for loops in (CompiledLoops, NumpyLoops))
    assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("size", "shape"), [((48, 60), (12, 15)), ((34, 51), (2, 3)), ((48, 60), (11, 15)), ((12, 12), (12, 12))]
)
def test_averages(dtype, size, shape):
    pixels = RNG.integers(0, np.iinfo(dtype).max, (*size, 3), dtype, endpoint=True)
    pixels[: size[0] // 2] = np.iinfo(dtype).max
    found, wanted = np.empty((*shape, 3), np.float32), np.empty((*shape, 3), np.float32)
    CompiledLoops().shrink(pixels, found)(0, shape[0])
    NumpyLoops().shrink(pixels, wanted)(0, shape[0])
    np.testing.assert_allclose(found, wanted, atol=3e-7)
