import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import torch

from livemef.engine.upsampling import EPSILON, RADIUS, shrink, upsample
from livemef.fusion.method.guided_upsampling import affine_coefficients, bilinear_rows, box_mean

pytestmark = pytest.mark.full


def test_training_brings_small_planes_back_as_fusion_does() -> None:
    generator = torch.Generator().manual_seed(4)
    large = torch.rand(1, 2, 64, 96, generator=generator)
    small, fused = shrink(large, 4), torch.rand(1, 1, 16, 24, generator=generator)
    got = upsample(large, small, fused)[0, 0].numpy() * 100
    under, over, target = (plane.numpy().astype(np.float64) * 100 for plane in (*small[0], fused[0, 0]))
    a, b, c = np.moveaxis(bilinear_rows(affine_coefficients([under, over], target, 4, 1.0), 64, 96), -1, 0)
    wanted = a * large[0, 0].numpy() * 100 + b * large[0, 1].numpy() * 100 + c
    np.testing.assert_allclose(got, wanted, atol=1e-3)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_exposure_is_a_guide_in_the_least_squares_of_each_window(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    large = torch.rand(1, count, 40, 56, generator=generator)
    small, fused = shrink(large, 4), torch.rand(1, 1, 10, 14, generator=generator)
    coefficients = np.empty((10, 14, count + 1))
    for y, x in np.ndindex(10, 14):
        window = (0, slice(None), slice(max(0, y - RADIUS), y + RADIUS + 1), slice(max(0, x - RADIUS), x + RADIUS + 1))
        guides, wanted = (planes[window].flatten(1).double().numpy() for planes in (small, fused))
        spread = np.cov(np.vstack([guides, wanted]), bias=True)
        weights = np.linalg.solve(spread[:-1, :-1] + EPSILON * np.eye(count), spread[:-1, -1])
        coefficients[y, x] = *weights, wanted.mean() - weights @ guides.mean(axis=1)
    wide = bilinear_rows(box_mean(coefficients, RADIUS), 40, 56)
    expected = (wide[..., :-1] * np.moveaxis(large[0].numpy(), 0, -1)).sum(axis=-1) + wide[..., -1]
    np.testing.assert_allclose(upsample(large, small, fused)[0, 0].numpy(), expected, atol=1e-5)


def test_an_affine_mix_of_the_inputs_survives() -> None:
    large = torch.rand(2, 2, 96, 96, generator=torch.Generator().manual_seed(1))
    small = shrink(large, 2)
    mix = 0.3 * small[:, :1] + 0.5 * small[:, 1:] + 0.1
    wanted = 0.3 * large[:, :1] + 0.5 * large[:, 1:] + 0.1
    assert (upsample(large, small, mix) - wanted).abs().max() < 0.02


def test_gradients_reach_the_small_plane() -> None:
    large = torch.rand(1, 2, 32, 32)
    fused = torch.rand(1, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(upsample(large, shrink(large, 2), fused).sum(), fused)
    assert (gradient.abs() > 0).all()
