"""A training run in its folder, with checkpoints, curves, samples and a progress bar; resumes where it stopped."""

from __future__ import annotations

import csv
import logging
import math
import os
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from livemef.engine.dataset import Stack, StackCache, open_cache
from livemef.engine.errors import EngineError
from livemef.engine.recipe import RECIPES, Schedule, with_overrides
from livemef.engine.training import Observer, Score, Trainer, load_checkpoint, run
from livemef.engine.unet import LightnessUNet
from livemef.engine.validation import score_net, write_samples
from livemef.engine.warm_start import start_from
from livemef.tools.progress import progress_bar

CURVE_COLUMNS = ("step", "loss", "learning_rate", "score", "full", "live", "error")
SAMPLES = 6

_LOG = logging.getLogger(__name__)


def train(
    cache_folder: Path,
    output: Path,
    validation_folder: Path | None,
    recipe: str,
    threads: int,
    schedule: Schedule | None = None,
    start: str | Path | None = None,
    **changes: Any,
) -> dict[str, float]:
    """Train into the folder `output`, resuming from its last.pt if there is one. Returns the last network's scores.

    validation_folder: cache of validation stacks; None = a tenth of the groups of `cache_folder`. start: name or path
    of a model, or checkpoint, whose weights a new run starts from. changes: fields of the recipe. Raises EngineError.
    """
    if recipe not in RECIPES:
        raise EngineError(f"recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    torch.set_num_threads(threads)
    config = with_overrides(RECIPES[recipe], **changes)
    cache = open_cache(cache_folder)
    if validation_folder is None:
        training, held_out = cache.split(0.1, config.seed)
        validation_cache = cache
    else:
        training, validation_cache = cache.entries, open_cache(validation_folder)
        held_out = validation_cache.entries
    trainer = Trainer(config, cache, training, None if start is None else start_from(start))
    output.mkdir(parents=True, exist_ok=True)
    if (output / "last.pt").exists():
        trainer.resume(load_checkpoint(output / "last.pt"))

    def score(net: LightnessUNet) -> dict[str, float]:
        return score_net(net, validation_cache, held_out, config.target_shares, by_error=not config.loss.structure)

    with progress_bar() as progress:
        recorder = Recorder(output, trainer, validation_cache, held_out, progress)
        run(trainer, output, schedule or Schedule(), score, recorder)
        recorder.close()
    return recorder.last_scores or _scores_now(score, trainer)


def _scores_now(score: Score, trainer: Trainer) -> dict[str, float]:
    with torch.no_grad():
        return score(trainer.average)


class Recorder(Observer):
    """Curves as CSV and for TensorBoard, and sample pictures, in the run's folder; a progress bar on the terminal."""

    def __init__(
        self, folder: Path, trainer: Trainer, cache: StackCache, samples: tuple[Stack, ...], progress: Progress
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._cache, self._samples = cache, samples[:: max(1, len(samples) // SAMPLES)][:SAMPLES]
        self._folder = folder
        self._curves = folder / "curves.csv"
        self.last_scores: dict[str, float] = {}
        _keep_rows_until(self._curves, trainer.step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=trainer.step)
        self._progress = progress
        self._bar = progress.add_task("training", total=trainer.config.steps, completed=trainer.step)

    def stepped(self, step: int, best_score: float) -> None:
        """Move the progress bar."""
        best = f", best score {best_score:.4f}" if math.isfinite(best_score) else ""
        self._progress.update(self._bar, completed=step, description=f"training{best}")

    def loss(self, step: int, loss: float, rate: float) -> None:
        """Write the loss into the curves."""
        self._row(step, {"loss": loss, "learning_rate": rate})

    def scored(self, step: int, scores: dict[str, float], net: LightnessUNet) -> None:
        """Write the scores into the curves, log them, and draw the samples."""
        self.last_scores = scores
        _LOG.info("step %d: %s", step, ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        self._row(step, scores)
        (self._folder / "samples").mkdir(exist_ok=True)
        write_samples(net, self._cache, self._samples, self._folder / "samples" / f"{step:06d}.png")

    def close(self) -> None:
        """Write out what is buffered."""
        self._board.close()

    def _row(self, step: int, values: dict[str, float]) -> None:
        with self._curves.open("a", newline="") as stream:
            csv.DictWriter(stream, CURVE_COLUMNS, restval="").writerow({"step": step, **values})
        for name, value in values.items():
            self._board.add_scalar(name, value, step)


def _keep_rows_until(path: Path, step: int) -> None:
    """Drop the rows after `step`, which a resumed run writes again; write the head of a new file."""
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["step"].isdigit() and int(row["step"]) <= step]
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, CURVE_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)
