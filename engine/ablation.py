"""Measures of a trained network on whole pictures, to test what the paper claims of variance-driven patch weights.

The claims (Son, Go, Lee, Lee, Mathematics 2025, 13(22), 3629): the network learns structured patches better and
amplifies noise less. So the measures are the error where the target varies most, and the gain of noise in dark, flat
patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from livemef.engine.dataset import Stack, StackCache
from livemef.engine.errors import EngineError
from livemef.engine.losses import SMALLEST_SIDE, mef_ssim
from livemef.engine.training import fuse_lightness
from livemef.engine.unet import LightnessUNet
from livemef.engine.validation import load_planes, target_mix

Plane = NDArray[np.float64]
FuseLightness = Callable[[Tensor], Tensor]
"""Fuses exposures, float32 [1,E,H,W] (L*/100, dark to bright), into [1,1,H,W]."""

TARGET_PATCH, FLAT_PATCH = 32, 16
TOP_SHARE = 0.1
DARK_BELOW, FLAT_BELOW = 25.0, 1.5
"""Upper limits, in L*, of the mean and of the detrended standard deviation of a dark, flat patch of the over-exposed
picture.
"""


@dataclass(frozen=True)
class Measures:
    """The measures of one network over a set of stacks.

    error: mean absolute error to the target in L* (0..100) over all 32 x 32 patches. top_error: the same over the tenth
    of the patches whose targets vary most. noise_gain: standard deviation of the fused lightness over that of the
    over-exposed picture, detrended, in 16 x 16 patches that are dark and flat in the latter. mef_ssim: mean MEF-SSIM at
    full size, 1 at best. flat_patches: number of patches behind noise_gain (NaN without any).
    """

    error: float
    top_error: float
    noise_gain: float
    mef_ssim: float
    flat_patches: int


def measure(
    net: LightnessUNet, cache: StackCache, entries: Sequence[Stack], target_shares: dict[str, float]
) -> Measures:
    """Measure a network at full size on the stacks `entries` of a cache.

    target_shares: the mix of the cache's targets that the error is taken to. Raises EngineError if no picture has 44
    pixels a side.
    """
    return measure_fusion(lambda exposures: fuse_lightness(net, exposures, 1), cache, entries, target_shares)


def measure_fusion(
    fuse: FuseLightness, cache: StackCache, entries: Sequence[Stack], target_shares: dict[str, float]
) -> Measures:
    """As `measure`, of any function that fuses lightness."""
    errors, variances, noise_in, noise_out, structure = [], [], [], [], []
    for entry in entries:
        exposures, all_targets = load_planes(cache, entry)
        if min(exposures.shape[-2:]) < SMALLEST_SIDE:
            continue
        bright, target = exposures[:, -1:], target_mix(cache, all_targets, target_shares)
        with torch.no_grad():
            fused = fuse(exposures).clamp(0.0, 1.0)
            structure.append(float(mef_ssim(exposures, fused)))
        targets, outputs, inputs = (100.0 * plane[0, 0].double().numpy() for plane in (target, fused, bright))
        errors.append(cut(np.abs(outputs - targets), TARGET_PATCH).mean(axis=(1, 2)))
        variances.append(cut(targets, TARGET_PATCH).var(axis=(1, 2)))
        source, result = cut(inputs, FLAT_PATCH), cut(outputs, FLAT_PATCH)
        spread_in = without_slope(source).var(axis=(1, 2))
        flat = (source.mean(axis=(1, 2)) < DARK_BELOW) & (spread_in < FLAT_BELOW**2) & (source.min(axis=(1, 2)) > 0)
        noise_in.append(spread_in[flat])
        noise_out.append(without_slope(result[flat]).var(axis=(1, 2)))
    if not structure:
        raise EngineError(f"validation stacks of {cache.folder}: none has {SMALLEST_SIDE} pixels a side")
    error, variance, spread_in, spread_out = map(np.concatenate, (errors, variances, noise_in, noise_out))
    top = np.argsort(-variance, kind="stable")[: max(1, round(TOP_SHARE * len(variance)))]
    gain = float(np.sqrt(spread_out.mean() / spread_in.mean())) if len(spread_in) and spread_in.any() else float("nan")
    return Measures(float(error.mean()), float(error[top].mean()), gain, float(np.mean(structure)), len(spread_in))


def cut(plane: Plane, side: int) -> Plane:
    """The side x side patches that lie wholly in a plane (H x W), as [patches, side, side]."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    patches = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return np.asarray(patches.swapaxes(1, 2).reshape(-1, side, side))


def without_slope(patches: Plane) -> Plane:
    """The patches ([patches, side, side]) detrended: less their least-squares plane, since a gradient is not noise."""
    side = patches.shape[-1]
    ramp = np.arange(side) - (side - 1) / 2
    centred = patches - patches.mean(axis=(1, 2), keepdims=True)
    norm = side * np.square(ramp).sum()
    down = np.einsum("pyx,y->p", centred, ramp) / norm
    across = np.einsum("pyx,x->p", centred, ramp) / norm
    return np.asarray(centred - down[:, None, None] * ramp[:, None] - across[:, None, None] * ramp)
