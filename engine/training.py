"""Training of the lightness network: seeded and resumable, with the same result whether interrupted or not.

The patches of step n depend on the seed and n alone, so a resumed run draws the same ones as an uninterrupted run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from livemef.engine import patches as patching
from livemef.engine.dataset import Stack, StackCache
from livemef.engine.errors import EngineError
from livemef.engine.lightness import channels
from livemef.engine.losses import patch_loss
from livemef.engine.patches import Patches, RunningMeans
from livemef.engine.recipe import Schedule, TrainingConfig
from livemef.engine.unet import LightnessUNet, NetShape
from livemef.engine.upsampling import shrink, upsample

FORMAT = "livemef training 2"
CANDIDATES = 4
"""Patches drawn for each patch that is used, where importance is a sampling probability."""


@dataclass(frozen=True)
class Start:
    """Weights that a run starts from, by their names in LightnessUNet. origin: what they are, for the metadata."""

    weights: dict[str, Tensor]
    origin: str


class Trainer:
    """State of one training run: network, averaged network, optimiser, step. start: what to start from, None: random
    weights. Raises EngineError for a cache without the recipe's targets or stacks of enough exposures, or weights of
    another network.
    """

    def __init__(
        self,
        config: TrainingConfig,
        cache: StackCache,
        entries: tuple[Stack, ...],
        start: Start | None = None,
    ) -> None:
        missing = set(config.target_shares) - set(cache.targets)
        if missing:
            raise EngineError(f"training cache {cache.folder}: has no target {', '.join(sorted(missing))}")
        if not entries:
            raise EngineError(
                f"training cache {cache.folder}: one group of scenes only; give validation stacks of other scenes"
            )
        self.config = config
        self.cache = cache
        self.samples = {count: patching.samples_of(entries, count) for count in config.exposures}
        for count, scenes in self.samples.items():
            if not scenes:
                low, high = patching.NEIGHBOUR_EV
                raise EngineError(
                    f"training cache {cache.folder}: no scene has {count} exposures {low:g} to {high:g} EV apart; "
                    "label more pictures or take another recipe"
                )
        self.step = 0
        self.best_score = -math.inf
        self.means = RunningMeans()
        torch.manual_seed(config.seed)
        self.net = LightnessUNet(NetShape(config.widths))
        self.started_from = "" if start is None else start.origin
        if start is not None:
            load_weights(self.net, start.weights)
        self.average = LightnessUNet(NetShape(config.widths))
        self.average.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=config.learning_rate)

    def train_step(self) -> float:
        """Do one optimiser step. Returns the mean weighted loss of its batch."""
        rng = np.random.default_rng([self.config.seed, self.step])
        live = bool(rng.random() < self.config.live_share)
        factor = int(rng.choice(self.config.live_factors)) if live else 1
        batch = self._draw(live, self._count(rng), rng)
        weights = self._weights(batch)
        fused = fuse_lightness(self.net, batch.seen, factor)
        loss = (weights * patch_loss(self.config.loss, batch.exposures, fused, batch.target)).mean()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def _count(self, rng: np.random.Generator) -> int:
        """The number of exposures of a step."""
        if len(self.samples) == 1:
            return next(iter(self.samples))
        shares = np.array(list(self.config.exposures.values()))
        return int(rng.choice(list(self.config.exposures), p=shares / shares.sum()))

    def _draw(self, live: bool, exposures: int, rng: np.random.Generator) -> Patches:
        config = self.config
        count = config.live_batch if live else config.batch
        side = config.live_side if live else config.side
        sampling = config.weighting == "variance" and config.weight_use == "sampling"
        drawn = patching.draw(
            self.cache,
            self.samples[exposures],
            config.target_shares,
            count * CANDIDATES if sampling else count,
            side,
            config.degradation,
            rng,
        )
        if not sampling:
            return drawn
        target, difference = patching.variances(drawn)
        self.means.update(target, difference)
        kept = patching.choose(patching.importance(target, difference, self.means), count, rng)
        return Patches(*(getattr(drawn, name)[kept] for name in Patches.__dataclass_fields__))

    def _weights(self, batch: Patches) -> Tensor:
        if self.config.weighting == "uniform" or self.config.weight_use == "sampling":
            return torch.ones(len(batch.target))
        target, difference = patching.variances(batch)
        self.means.update(target, difference)
        return patching.loss_weights(patching.importance(target, difference, self.means))

    def _update_average(self) -> None:
        decay = min(self.config.average_decay, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(now, 1.0 - decay)

    def state(self) -> dict[str, Any]:
        """The checkpoint: all that `resume` needs, as plain values and tensors."""
        return {
            "format": FORMAT,
            "config": asdict(self.config),
            "step": self.step,
            "started_from": self.started_from,
            "best_score": self.best_score,
            "means": asdict(self.means),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint. Raises EngineError if its recipe differs in more than the number of steps."""
        ours, theirs = asdict(self.config), dict(state["config"])
        different = sorted(key for key in ours if key != "steps" and ours[key] != theirs.get(key))
        if different:
            raise EngineError(
                f"checkpoint of {theirs.get('name')!r} was trained with another {', '.join(different)}; "
                "give the same recipe or another folder"
            )
        self.step, self.best_score = state["step"], state["best_score"]
        self.started_from = state["started_from"]
        self.means = RunningMeans(**state["means"])
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of a step: linear warm-up, then cosine decay to a hundredth of the peak."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    done = min(1.0, (step - config.warm_up) / max(1, config.steps - config.warm_up))
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))


def fuse_lightness(net: LightnessUNet, large: Tensor, factor: int) -> Tensor:
    """Fused lightness [N,1,H,W] of exposures [N,E,H,W] (L*/100, any size), dark to bright.

    factor: 1 = the network sees all pixels; else it sees the picture smaller by `factor`, then guided upsampling as in
    live use.
    """
    if factor == 1:
        return fuse_tree(net, large)
    small = shrink(large, factor)
    return upsample(large, small, fuse_tree(net, small))


def fuse_tree(net: LightnessUNet, exposures: Tensor) -> Tensor:
    """Fused lightness [N,1,H,W] of exposures [N,E,H,W] by the tree of pairs: neighbours are fused until one is left, an
    odd last one goes up as it is. Results that are fused again are limited to 0..1, as at run time.
    """
    level = list(channels(exposures))
    while len(level) > 2:
        pairs = zip(level[0::2], level[1::2], strict=False)
        fused = [run_padded(net, torch.cat(pair, dim=1)).clamp(0.0, 1.0) for pair in pairs]
        level = [*fused, *level[2 * len(fused) :]]
    return run_padded(net, torch.cat(level, dim=1))


def run_padded(net: LightnessUNet, planes: Tensor) -> Tensor:
    """Run the network on [N,2,H,W] of any size, padded by replication to its multiple as at run time. [N,1,H,W]."""
    height, width = planes.shape[-2:]
    multiple = net.shape.multiple
    padded = functional.pad(planes, (0, -width % multiple, 0, -height % multiple), mode="replicate")
    fused: Tensor = net(padded)
    return fused[..., :height, :width]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, atomically."""
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Raises EngineError for a file that is not one of this version."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises exceptions of many types for other files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineError(
            f"checkpoint {path}: no file of livemef lab train ({reason}); give last.pt or best.pt"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise EngineError(f"checkpoint {path}: not one of this version of livemef lab train; train again")
    return state


def trained_net(state: dict[str, Any]) -> LightnessUNet:
    """The averaged network of a checkpoint, in evaluation mode. Raises EngineError if the weights do not fit it."""
    net = LightnessUNet(NetShape(tuple(state["config"]["widths"])))
    load_weights(net, state["average"])
    return net.eval()


def load_weights(net: LightnessUNet, weights: dict[str, Tensor]) -> None:
    """Put weights, by name, into a network. Raises EngineError if they are those of another."""
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise EngineError("these are the weights of another network (other widths); train again") from error


class Observer:
    """Callbacks of a training run; those of this base do nothing."""

    def stepped(self, step: int, best_score: float) -> None:
        """A step is done: `step` of them in all; best_score: -inf before the first scoring."""

    def loss(self, step: int, loss: float, rate: float) -> None:
        """Mean loss since the last call, and the learning rate now."""

    def scored(self, step: int, scores: dict[str, float], net: LightnessUNet) -> None:
        """The averaged network `net` was scored."""


Score = Callable[[LightnessUNet], dict[str, float]]


def run(trainer: Trainer, folder: Path, schedule: Schedule, score: Score, observer: Observer) -> None:
    """Train to the recipe's last step. Writes last.pt and best.pt (best value of "score") into `folder`.

    score: returns the scores of a network, one of them named "score", higher is better.
    """
    recent: list[float] = []
    while trainer.step < trainer.config.steps:
        recent.append(trainer.train_step())
        step, last = trainer.step, trainer.step == trainer.config.steps
        observer.stepped(step, trainer.best_score)
        if step % schedule.report == 0 or last:
            observer.loss(step, float(np.mean(recent)), learning_rate(trainer.config, step))
            recent.clear()
        if step % schedule.score == 0 or last:
            _score(trainer, folder, score, observer)
        if step % schedule.checkpoint == 0 or last:
            save_checkpoint(folder / "last.pt", trainer.state())


def _score(trainer: Trainer, folder: Path, score: Score, observer: Observer) -> None:
    with torch.no_grad():
        scores = score(trainer.average)
    if scores["score"] > trainer.best_score:
        trainer.best_score = scores["score"]
        save_checkpoint(folder / "best.pt", trainer.state())
    observer.scored(trainer.step, scores, trainer.average)
