"""Training recipes: all hyperparameters. Plain dataclasses that need no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from livemef.engine.errors import EngineError


@dataclass(frozen=True)
class LossShares:
    """Weights of the loss terms: absolute error to the target, 1 - MEF-SSIM, coarse and gradient error.

    coarse_cell: pixels a side over which the coarse error averages.
    """

    absolute: float = 0.0
    structure: float = 0.0
    coarse: float = 0.0
    gradient: float = 0.0
    coarse_cell: int = 32


@dataclass(frozen=True)
class Degradation:
    """Random degradation of patches as by real cameras; all zero = none.

    jitter_ev: standard deviation of each exposure's error, in stops. clip_probability, clip_ev: the over-exposed patch
    is up to so many stops too bright. noise_probability, shot, read: ranges of shot and read noise of the under-exposed
    patch, in linear light 0..1. shift_probability, shift_px: misalignment, at most so many pixels.
    """

    jitter_ev: float = 0.1
    clip_probability: float = 0.2
    clip_ev: float = 0.7
    noise_probability: float = 0.5
    shot: tuple[float, float] = (1e-5, 1e-3)
    read: tuple[float, float] = (1e-4, 2e-3)
    shift_probability: float = 0.1
    shift_px: int = 2


def no_degradation() -> Degradation:
    """The degradation that changes nothing."""
    return Degradation(jitter_ev=0.0, clip_probability=0.0, noise_probability=0.0, shift_probability=0.0)


@dataclass(frozen=True)
class TrainingConfig:
    """A recipe: with the pictures it determines the result. Raises EngineError for values that make no sense.

    steps: optimiser steps. batch, side: patches a step and their pixels a side; live_batch, live_side: the same of a
    step through the live path (network on a picture smaller by one of `live_factors`, guided upsampling), which has
    probability `live_share`. exposures: probability of each number of exposures that the network is trained to fuse, by
    the tree of pairs where they are more than two. learning_rate, warm_up: peak rate, and steps of linear warm-up.
    average_decay: of the exponential moving average of the weights. widths: channels a level of the U-Net. weighting:
    "variance", "uniform". weight_use: weights in the "loss" or as "sampling" probabilities. target_shares: shares of
    the cache's targets.
    """

    name: str = "cbm"
    seed: int = 1
    steps: int = 16000
    batch: int = 3
    side: int = 192
    live_batch: int = 3
    live_side: int = 224
    live_share: float = 0.5
    live_factors: tuple[int, ...] = (2, 3, 4, 6, 8)
    exposures: dict[int, float] = field(default_factory=lambda: {2: 1.0})
    learning_rate: float = 1.5e-3
    warm_up: int = 200
    average_decay: float = 0.998
    widths: tuple[int, ...] = (16, 24, 32, 48)
    weighting: str = "variance"
    weight_use: str = "loss"
    target_shares: dict[str, float] = field(default_factory=lambda: {"mertens": 0.6, "mitm": 0.4})
    loss: LossShares = field(default_factory=lambda: LossShares(structure=1.0, coarse=0.4, gradient=0.1))
    degradation: Degradation = field(default_factory=Degradation)

    def __post_init__(self) -> None:
        if self.weighting not in ("variance", "uniform"):
            raise EngineError(f"weighting {self.weighting!r}: choose variance or uniform")
        if self.weight_use not in ("loss", "sampling"):
            raise EngineError(f"weight use {self.weight_use!r}: choose loss or sampling")
        if self.steps < 1 or self.batch < 1:
            raise EngineError(f"{self.steps} steps of {self.batch} patches: both must be at least 1")
        if not self.exposures or min(self.exposures) < 2 or min(self.exposures.values()) <= 0.0:
            raise EngineError(f"exposures {self.exposures}: give probabilities above 0 of numbers of 2 or more")


RECIPES = {
    "cbm": TrainingConfig(),
    "cbm-tree": TrainingConfig(
        name="cbm-tree",
        steps=3000,
        learning_rate=4e-4,
        exposures={2: 0.45, 3: 0.3, 4: 0.25},
    ),
    "cbm-paper": TrainingConfig(
        name="cbm-paper",
        steps=4000,
        batch=4,
        side=160,
        live_share=0.0,
        target_shares={"mitm": 1.0},
        loss=LossShares(absolute=1.0),
        degradation=no_degradation(),
    ),
}


@dataclass(frozen=True)
class Schedule:
    """Intervals, in steps: of checkpoints, of scoring on the validation stacks, of reports of the loss."""

    checkpoint: int = 200
    score: int = 1500
    report: int = 20


def with_overrides(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """The recipe with those `changes` that are not None. Raises EngineError."""
    return replace(config, **{key: value for key, value in changes.items() if value is not None})
