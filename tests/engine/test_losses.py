import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import cv2
import numpy as np
import torch
from torch import Tensor

from livemef.engine.lightness import from_luminance, to_grey_code, to_luminance
from livemef.engine.losses import coarse_error, gradient_error, mef_ssim, patch_loss
from livemef.engine.recipe import LossShares
from livemef.fusion.method.colour import decode, lab_f
from livemef.fusion.metrics.mef_ssim import mef_ssim as measured

pytestmark = pytest.mark.full

SIZES = [(96, 120), (101, 87), (44, 45)]


def grey_pictures(height: int, width: int) -> list[np.ndarray]:
    """Codes of a dark, a bright and a fused picture, height x width uint8."""
    rng = np.random.default_rng(height)
    smooth = cv2.GaussianBlur(rng.random((height, width)), (0, 0), 3)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    dark = np.clip(smooth**2 * 120, 0, 255)
    bright = np.clip(smooth * 400, 0, 255)
    fused = np.clip((dark + bright) / 2 + rng.normal(0, 4, dark.shape), 0, 255)
    return [plane.astype(np.uint8) for plane in (dark, bright, fused)]


def as_lightness(codes: np.ndarray) -> Tensor:
    lightness = (116.0 * lab_f(decode(codes / 255.0)) - 16.0) / 100.0
    return torch.from_numpy(lightness.astype(np.float32))[None, None]


def test_grey_codes_come_back_from_lightness() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    lightness = as_lightness(codes)
    np.testing.assert_allclose(to_grey_code(lightness)[0, 0].numpy(), codes, atol=1e-3)
    np.testing.assert_allclose(from_luminance(to_luminance(lightness)).numpy(), lightness.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_loss_is_the_metric(size: tuple[int, int], count: int) -> None:
    dark, bright, fused = grey_pictures(*size)
    share = np.linspace(0, 1, count)[:, None, None] ** 2
    series = [*np.rint(dark + share * (bright.astype(float) - dark)).astype(np.uint8)]
    colour = [np.repeat(plane[..., None], 3, axis=2) for plane in (*series, fused)]
    got = float(mef_ssim(torch.cat([as_lightness(plane) for plane in series], dim=1), as_lightness(fused)))
    assert got == pytest.approx(measured(colour[:-1], colour[-1]), abs=2e-4)


def pair_of(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A dark and a bright plane [1,2,H,W], and their mean [1,1,H,W]."""
    pair = torch.cat([as_lightness(plane) for plane in grey_pictures(height, width)[:2]], dim=1)
    return pair, pair.mean(dim=1, keepdim=True)


def test_each_patch_has_its_own_score() -> None:
    pair, good = pair_of(64, 64)
    scores = mef_ssim(pair.repeat(2, 1, 1, 1), torch.cat([good, torch.full_like(good, 0.5)]))
    assert scores.shape == (2,)
    assert scores[0] > scores[1] + 0.1
    assert float(mef_ssim(pair, good)) == pytest.approx(float(scores[0]), abs=1e-5)


def test_descending_the_loss_raises_the_metric() -> None:
    pair, fused = pair_of(64, 64)
    fused.requires_grad_()
    before = mef_ssim(pair, fused)
    for _ in range(5):
        (gradient,) = torch.autograd.grad(mef_ssim(pair, fused).sum(), fused)
        fused = (fused + 0.005 * gradient / gradient.abs().max()).detach().clamp(0, 1).requires_grad_()
    assert float(mef_ssim(pair, fused.detach())) > float(before.detach()) + 0.001


def test_flat_and_clipped_patches_have_finite_gradients() -> None:
    flat = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1).expand(1, 2, 48, 48)
    fused = torch.zeros(1, 1, 48, 48, requires_grad=True)
    (gradient,) = torch.autograd.grad(mef_ssim(flat, fused).sum(), fused)
    assert bool(gradient.isfinite().all())


def test_coarse_error_sees_brightness_and_gradient_error_does_not() -> None:
    target = torch.rand(1, 1, 64, 64)
    brighter = target + 0.1
    assert float(coarse_error(brighter, target, 32)) == pytest.approx(0.1, abs=1e-5)
    assert float(gradient_error(brighter, target)) == pytest.approx(0.0, abs=1e-6)


def test_terms_add_up_by_their_shares() -> None:
    pair, target = pair_of(64, 64)
    fused = as_lightness(grey_pictures(64, 64)[2])
    single = [
        float(patch_loss(LossShares(**{name: 1.0}), pair, fused, target))
        for name in ("absolute", "structure", "coarse", "gradient")
    ]
    mixed = patch_loss(LossShares(1.0, 0.5, 0.25, 2.0), pair, fused, target)
    assert float(mixed) == pytest.approx(np.dot(single, [1.0, 0.5, 0.25, 2.0]), rel=1e-5)
    assert min(single) > 0.0
