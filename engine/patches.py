"""Random patches of the training pairs, what real cameras do to them, and how much each patch counts.

The weight follows the method's two wishes: patches whose target varies much, and patches whose two inputs
differ in variance, count more. The formula is our reading; the text gives the wish, not the equation.
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
    """A batch, float32 [N,1,H,W], L*/100. dark, bright: as a good camera would see them; seen_*: as this one does."""

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
    """Draw patches: a scene, one of its pairs, a place, a flip and a quarter turn, all at random.

    target_shares: the target is this mix of the cache's target planes (shares add up to 1).
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
    """Entries of each scene together: scenes with many pairs are then drawn no more often than others."""
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
    """The cache's planes and the misaligned dark one, [planes + 1, side, side]."""
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
    """The planes, mirrored at the lower and right border where they are smaller than `side`."""
    below, right = (max(0, side - size) for size in planes.shape[1:])
    return np.pad(planes, ((0, 0), (0, below), (0, right)), mode="symmetric") if below or right else planes


def _gains(count: int, degradation: Degradation, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Factors [N,1,1,1] of the two exposures' light."""
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


# How much a patch counts ---------------------------------------------------------------------------------------------


@dataclass
class RunningMeans:
    """Means of the two variances over the training set so far (exponential, 0.99 a batch)."""

    target: float = 0.0
    difference: float = 0.0
    batches: int = 0

    def update(self, target: Tensor, difference: Tensor) -> None:
        """Take in one batch."""
        keep = min(MEAN_DECAY, self.batches / (self.batches + 1.0))
        self.target = keep * self.target + (1.0 - keep) * float(target.mean())
        self.difference = keep * self.difference + (1.0 - keep) * float(difference.mean())
        self.batches += 1


def variances(patches: Patches) -> tuple[Tensor, Tensor]:
    """(variance of each target patch, |difference of the variances of its two inputs|), of L*/100."""
    target, dark, bright = (
        plane.var(dim=(1, 2, 3), correction=0) for plane in (patches.target, patches.dark, patches.bright)
    )
    return target, (dark - bright).abs()


def importance(target: Tensor, difference: Tensor, means: RunningMeans) -> Tensor:
    """1 + v / mean(v) + d / mean(d) of each patch: grows with both."""
    return 1.0 + target / max(means.target, 1e-12) + difference / max(means.difference, 1e-12)


def loss_weights(values: Tensor) -> Tensor:
    """Importance over its mean in the batch, within 0.25..4: the rate keeps its meaning, flat sky still counts."""
    return (values / values.mean()).clamp(SMALLEST_WEIGHT, LARGEST_WEIGHT)


def choose(values: Tensor, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of `count` different patches, drawn with probability proportional to importance."""
    shares = values.double().numpy()
    return rng.choice(len(shares), size=count, replace=False, p=shares / shares.sum())
