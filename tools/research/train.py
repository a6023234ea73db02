"""`livemef lab train`: trains the lightness network on a cache of `livemef lab label`; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livemef.engine.recipe import RECIPES


def train_command(
    cache: Annotated[Path, typer.Argument(metavar="CACHE", help="Folder of training stacks made by livemef lab label")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for checkpoints, curves and samples")],
    validation: Annotated[
        Path | None, typer.Option(help="Cache of stacks to choose by; default: a tenth of the groups, held out")
    ] = None,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}")] = "cbm",
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the start and of what is drawn")] = None,
    weighting: Annotated[str | None, typer.Option(help="variance (default) or uniform")] = None,
    weight_use: Annotated[
        str | None, typer.Option(help="Patch weights as loss (default) or as sampling probability")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Model (name or ONNX file) or checkpoint to start from; default: random weights")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; on a busy machine one is fastest")] = 2,
) -> None:
    """Train a network. Run again with the same arguments to go on after an interruption.

    Example: livemef lab train stacks -o run1 --steps 4000
    """
    from livemef.tools.research.training_run import train

    scores = train(
        cache,
        output,
        validation,
        recipe,
        threads,
        start=start,
        steps=steps,
        seed=seed,
        weighting=weighting,
        weight_use=weight_use,
    )
    print(", ".join(f"{name} {value:.4f}" for name, value in scores.items()), f"- best network in {output / 'best.pt'}")
