"""Random patches of the training pairs, their degradation as by real cameras, and their weights.

Patches whose target varies much, and patches whose two inputs differ in variance, have a higher weight. The paper
states this in words; the formula is our reading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from livemef.engine.dataset import FULL, PairCache, PairEntry
from livemef.engine.lightness import from_luminance, to_luminance
from livemef.engine.recipe import Degradation

SMALLEST_WEIGHT, LARGEST_WEIGHT = 0.25, 4.0
MEAN_DECAY = 0.99


@dataclass(frozen=True)
class Patches:
    """A batch, each float32 [N,1,H,W], L*/100. dark, bright: the clean exposures. seen_*: the degraded ones, which the
    network gets. target: the wanted lightness.
    """

    dark: Tensor
    bright: Tensor
    target: Tensor
    seen_dark: Tensor
    seen_bright: Tensor


def draw(
    cache: PairCache,
    scenes: Sequence[Sequence[PairEntry]],
    target_shares: dict[str, float],
    count: int,
    side: int,
    degradation: Degradation,
    rng: np.random.Generator,
) -> Patches:
    """Draw `count` patches of side x side pixels: scene, pair of the scene, position, flip and quarter turn at random.

    scenes: entries by scene, see `group_by_scene`. target_shares: shares of the cache's targets in the target; their
    sum is 1.
    """
    crops = [_crop(cache, scenes, side, degradation, rng) for _ in range(count)]
    planes = torch.from_numpy(np.stack(crops).astype(np.float32) / np.float32(FULL))
    names = [*cache.planes, "shifted"]
    target = sum(share * planes[:, names.index(name)] for name, share in target_shares.items())
    assert isinstance(target, Tensor)
    dark, bright, shifted = planes[:, 0:1], planes[:, 1:2], planes[:, -1:]
    gain_dark, gain_bright = _gains(count, degradation, rng)
    dark, bright, shifted = _expose(dark, gain_dark), _expose(bright, gain_bright), _expose(shifted, gain_dark)
    return Patches(dark, bright, target[:, None], _add_noise(shifted, degradation, rng), bright)


def group_by_scene(entries: Sequence[PairEntry]) -> list[list[PairEntry]]:
    """The entries by scene, so that a scene with many pairs is drawn no more often than others."""
    scenes: dict[str, list[PairEntry]] = {}
    for entry in entries:
        scenes.setdefault(entry.scene, []).append(entry)
    return [scenes[name] for name in sorted(scenes)]


def _crop(
    cache: PairCache,
    scenes: Sequence[Sequence[PairEntry]],
    side: int,
    degradation: Degradation,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """A crop of all planes of a pair, and as the last one the dark plane misaligned: [planes + 1, side, side]."""
    scene = scenes[int(rng.integers(len(scenes)))]
    planes = _at_least(cache.load(scene[int(rng.integers(len(scene)))]), side)
    top, left = (int(rng.integers(size - side + 1)) for size in planes.shape[1:])
    crop = planes[:, top : top + side, left : left + side]
    if rng.random() < degradation.shift_probability:
        moves = rng.integers(-degradation.shift_px, degradation.shift_px + 1, size=2)
        top = int(np.clip(top + moves[0], 0, planes.shape[1] - side))
        left = int(np.clip(left + moves[1], 0, planes.shape[2] - side))
    shifted = planes[:1, top : top + side, left : left + side]
    turned = np.rot90(np.concatenate([crop, shifted]), int(rng.integers(4)), axes=(1, 2))
    return turned[:, :, ::-1] if rng.random() < 0.5 else turned


def _at_least(planes: NDArray[np.uint16], side: int) -> NDArray[np.uint16]:
    """The planes, extended by reflection at the lower and right border to at least `side`."""
    below, right = (max(0, side - size) for size in planes.shape[1:])
    return np.pad(planes, ((0, 0), (0, below), (0, right)), mode="symmetric") if below or right else planes


def _gains(count: int, degradation: Degradation, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Exposure errors of the two exposures, as factors of linear light, each [N,1,1,1]."""
    ev = rng.normal(0.0, degradation.jitter_ev, size=(2, count))
    clipped = rng.random(count) < degradation.clip_probability
    ev[1] += clipped * rng.uniform(0.0, degradation.clip_ev, size=count)
    gains = torch.from_numpy(2.0**ev).float().reshape(2, count, 1, 1, 1)
    return gains[0], gains[1]


def _expose(lightness: Tensor, gain: Tensor) -> Tensor:
    if bool((gain == 1.0).all()):
        return lightness
    return from_luminance((to_luminance(lightness) * gain).clamp(0.0, 1.0))


def _add_noise(lightness: Tensor, degradation: Degradation, rng: np.random.Generator) -> Tensor:
    count = len(lightness)
    noisy = torch.from_numpy((rng.random(count) < degradation.noise_probability).reshape(-1, 1, 1, 1))
    if not bool(noisy.any()):
        return lightness
    shot, read = (_log_uniform(span, count, rng) for span in (degradation.shot, degradation.read))
    normal = torch.from_numpy(rng.standard_normal(lightness.shape, dtype=np.float32))
    luminance = to_luminance(lightness)
    degraded = luminance + normal * (shot * luminance + read**2).sqrt()
    return torch.where(noisy, from_luminance(degraded.clamp(0.0, 1.0)), lightness)


def _log_uniform(span: tuple[float, float], count: int, rng: np.random.Generator) -> Tensor:
    low, high = math.log(span[0]), math.log(span[1])
    return torch.from_numpy(np.exp(rng.uniform(low, high, size=(count, 1, 1, 1)))).float()


# Weights of patches --------------------------------------------------------------------------------------------------


@dataclass
class RunningMeans:
    """Exponential moving averages (0.99 a batch) of the two variances behind `importance`."""

    target: float = 0.0
    difference: float = 0.0
    batches: int = 0

    def update(self, target: Tensor, difference: Tensor) -> None:
        """Update with one batch, each [N]."""
        keep = min(MEAN_DECAY, self.batches / (self.batches + 1.0))
        self.target = keep * self.target + (1.0 - keep) * float(target.mean())
        self.difference = keep * self.difference + (1.0 - keep) * float(difference.mean())
        self.batches += 1


def variances(patches: Patches) -> tuple[Tensor, Tensor]:
    """Variance of each target patch, and absolute difference of its two inputs' variances; each [N], (L*/100)²."""
    target, dark, bright = (
        plane.var(dim=(1, 2, 3), correction=0) for plane in (patches.target, patches.dark, patches.bright)
    )
    return target, (dark - bright).abs()


def importance(target: Tensor, difference: Tensor, means: RunningMeans) -> Tensor:
    """1 + target / its mean + difference / its mean, [N]."""
    return 1.0 + target / max(means.target, 1e-12) + difference / max(means.difference, 1e-12)


def loss_weights(values: Tensor) -> Tensor:
    """Importance over its mean in the batch, limited to 0.25..4, [N]. The mean stays near 1, so the learning rate keeps
    its meaning; the limits keep flat patches in the loss.
    """
    return (values / values.mean()).clamp(SMALLEST_WEIGHT, LARGEST_WEIGHT)


def choose(values: Tensor, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of `count` different patches, drawn with probabilities proportional to importance (`values`, [N])."""
    shares = values.double().numpy()
    return rng.choice(len(shares), size=count, replace=False, p=shares / shares.sum())
