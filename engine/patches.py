"""Random patches of the training stacks, their degradation as by real cameras, and their weights.

Patches whose target varies much, and patches whose darkest and brightest exposures differ in variance, have a higher
weight. The paper states this in words; the formula is our reading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from livemef.engine.dataset import FULL, Stack, StackCache
from livemef.engine.lightness import from_luminance, to_luminance
from livemef.engine.recipe import Degradation

SMALLEST_WEIGHT, LARGEST_WEIGHT = 0.25, 4.0
MEAN_DECAY = 0.99
NEIGHBOUR_EV = (1.0, 6.0)
"""Stops that two neighbouring exposures which the network gets lie apart."""


@dataclass(frozen=True)
class Sample:
    """A stack, and which of its exposures the network gets: indices of its planes, dark to bright."""

    stack: Stack
    exposures: tuple[int, ...]


@dataclass(frozen=True)
class Patches:
    """A batch, float32, L*/100. exposures: the clean exposures, [N,E,H,W], dark to bright. seen: the degraded ones, the
    same form, which the network gets. target: the lightness to be learned, [N,1,H,W].
    """

    exposures: Tensor
    seen: Tensor
    target: Tensor


def samples_of(entries: Sequence[Stack], count: int) -> list[list[Sample]]:
    """All samples of `count` exposures, by scene, so that a scene with many is drawn no more often than others.

    A sample has the stack's ends, on which the target depends, and neighbours NEIGHBOUR_EV apart. Scenes without one
    are left out.
    """
    scenes: dict[str, list[Sample]] = {}
    for entry in entries:
        last = len(entry.frames) - 1
        for middle in combinations(range(1, last), count - 2):
            sample = Sample(entry, (0, *middle, last))
            gaps = [entry.evs[b] - entry.evs[a] for a, b in pairwise(sample.exposures)]
            if NEIGHBOUR_EV[0] <= min(gaps) and max(gaps) <= NEIGHBOUR_EV[1]:
                scenes.setdefault(entry.scene, []).append(sample)
    return [scenes[name] for name in sorted(scenes)]


def draw(
    cache: StackCache,
    scenes: Sequence[Sequence[Sample]],
    target_shares: dict[str, float],
    count: int,
    side: int,
    degradation: Degradation,
    rng: np.random.Generator,
) -> Patches:
    """Draw `count` patches of side x side pixels: scene, sample of it, position, flip and quarter turn at random.

    scenes: samples of one number of exposures, see `samples_of`. target_shares: shares of the cache's targets in the
    target; their sum is 1.
    """
    crops = [_crop(cache, scenes, side, degradation, rng) for _ in range(count)]
    planes = torch.from_numpy(np.stack(crops).astype(np.float32) / np.float32(FULL))
    targets = planes[:, -1 - len(cache.targets) : -1]
    exposures, shifted = planes[:, : -1 - len(cache.targets)], planes[:, -1:]
    target = sum(share * targets[:, cache.targets.index(name)] for name, share in target_shares.items())
    assert isinstance(target, Tensor)
    gains = _gains(count, exposures.shape[1], degradation, rng)
    exposures, shifted = _expose(exposures, gains), _expose(shifted, gains[:, :1])
    seen = torch.cat([_add_noise(shifted, degradation, rng), exposures[:, 1:]], dim=1)
    return Patches(exposures, seen, target[:, None])


def _crop(
    cache: StackCache,
    scenes: Sequence[Sequence[Sample]],
    side: int,
    degradation: Degradation,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """A crop of a sample's exposures, then the targets, then the darkest exposure misaligned: [planes, side, side]."""
    scene = scenes[int(rng.integers(len(scenes)))]
    sample = scene[int(rng.integers(len(scene)))]
    planes = cache.load(sample.stack)
    targets = range(len(sample.stack.frames), len(planes))
    planes = _at_least(planes, side)
    top, left = (int(rng.integers(size - side + 1)) for size in planes.shape[1:])
    crop = planes[[*sample.exposures, *targets], top : top + side, left : left + side]
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


def _gains(count: int, exposures: int, degradation: Degradation, rng: np.random.Generator) -> Tensor:
    """Exposure errors of the exposures, as factors of linear light, [N,E,1,1]."""
    ev = rng.normal(0.0, degradation.jitter_ev, size=(exposures, count))
    clipped = rng.random(count) < degradation.clip_probability
    ev[-1] += clipped * rng.uniform(0.0, degradation.clip_ev, size=count)
    return torch.from_numpy(np.exp2(ev).T).float()[:, :, None, None]


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
    """Variance of each target patch, and absolute difference of the variances of its darkest and its brightest
    exposure; each [N], (L*/100)²."""
    target, exposures = (planes.var(dim=(2, 3), correction=0) for planes in (patches.target, patches.exposures))
    return target[:, 0], (exposures[:, 0] - exposures[:, -1]).abs()


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
