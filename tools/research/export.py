"""`livemef lab export`: writes a trained network as the ONNX file that fusion runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livemef.engine.errors import EngineError


def export_command(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt or last.pt of livemef lab train")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write")],
    name: Annotated[str | None, typer.Option(help="The model's name in its metadata; default: the recipe's")] = None,
    half: Annotated[bool, typer.Option("--fp16", help="Half precision, for GPUs")] = False,
    blend: Annotated[str | None, typer.Option(metavar="MODEL", help="Model whose weights are mixed in")] = None,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of --blend in the weights")] = 0.25,
) -> None:
    """Write a trained network as ONNX.

    Example: livemef lab export run1/best.pt -o mine.onnx
    """
    export(checkpoint, output, half, name, blend, share)
    print(f"{output}: {output.stat().st_size / 1024:.0f} kB")


def export(
    checkpoint: Path,
    output: Path,
    half: bool = False,
    name: str | None = None,
    blend: str | Path | None = None,
    share: float = 0.25,
) -> None:
    """Write the averaged network of a checkpoint, with its name (None: the recipe's) and training in the metadata.

    blend: model, by name or path, whose weights are mixed in with `share` (0..1). Raises EngineError.
    """
    from livemef.engine.export import write_onnx
    from livemef.engine.training import load_checkpoint, trained_net
    from livemef.engine.warm_start import blend_into, start_from

    state = load_checkpoint(checkpoint)
    config = state["config"]
    training = f"{state['step']} steps, seed {config['seed']}, {config['weighting']} weights"
    if state["started_from"]:
        training += f", started from {state['started_from']}"
    net = trained_net(state)
    if blend is not None:
        other = start_from(blend)
        blend_into(net, other, share)
        training += f", blended with {share:g} of {other.origin}"
    try:
        write_onnx(net, output, {"name": name or config["name"], "training": training}, half)
    except OSError as error:
        raise EngineError(f"{output}: cannot be written ({error.strerror})") from error
