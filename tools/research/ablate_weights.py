"""`livemef lab ablate-weights`: tests the paper's claims on variance-driven patch weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from livemef.engine.dataset import open_cache
from livemef.engine.recipe import RECIPES, Schedule
from livemef.tools.exits import UserError
from livemef.tools.options import JsonOption
from livemef.tools.research.ablation_table import Runs, print_comparison

ARMS: Mapping[str, Mapping[str, str]] = {
    "uniform": {"weighting": "uniform"},
    "loss": {"weighting": "variance", "weight_use": "loss"},
    "sampling": {"weighting": "variance", "weight_use": "sampling"},
}
_HEADINGS = {
    "error": "error\nL*",
    "top_error": "error, top\ntenth L*",
    "noise_gain": "noise\nout/in",
    "mef_ssim": "MEF-\nSSIM",
}


def ablate_weights_command(
    cache: Annotated[Path, typer.Argument(metavar="CACHE", help="Folder of training stacks made by livemef lab label")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the runs: one a weighting and seed")],
    validation: Annotated[Path, typer.Option(help="Cache of stacks to measure on; none of them trained on")],
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}")] = "cbm-paper",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every weighting")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of every run")] = 3000,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; on a busy machine one is fastest")] = 2,
    json_output: JsonOption = False,
) -> None:
    """Train with uniform and with variance-driven patch weights (in the loss, in the sampling), and compare.

    The networks of the last step are measured at full size, so that all had the same budget. Run again with the same
    arguments to go on after an interruption, or to measure again.

    Example: livemef lab ablate-weights stacks -o runs --validation held-out --seeds 3
    """
    if recipe not in RECIPES:
        raise UserError(f"--recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    from livemef.engine.ablation import measure
    from livemef.engine.training import load_checkpoint, trained_net
    from livemef.tools.research.training_run import train

    held_out = open_cache(validation)
    runs: Runs = {arm: [] for arm in ARMS}
    for seed in range(1, seeds + 1):
        for arm, changes in ARMS.items():
            folder = output / f"{arm}-{seed}"
            if not _finished(folder, steps):
                schedule = Schedule(score=max(steps, 1))
                train(cache, folder, validation, recipe, threads, schedule, seed=seed, steps=steps, **changes)
            net = trained_net(load_checkpoint(folder / "last.pt"))
            runs[arm].append(asdict(measure(net, held_out, held_out.entries, RECIPES[recipe].target_shares)))
    print_comparison(runs, _HEADINGS, f"{recipe}, {steps} steps, {seeds} seeds", json_output)


def _finished(folder: Path, steps: int) -> bool:
    from livemef.engine.training import load_checkpoint

    return (folder / "last.pt").exists() and int(load_checkpoint(folder / "last.pt")["step"]) >= steps
