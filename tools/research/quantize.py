"""`livemef lab quantize`: quantises a network to int8, calibrated on brackets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from livemef.capture.files.image_io import write_atomically
from livemef.engine.open_net import find_model
from livemef.engine.quantization import Planes, quantised
from livemef.fusion.method.reference import small_lab, small_picture
from livemef.fusion.settings import FusionSettings
from livemef.tools.options import ModelOption
from livemef.tools.scenes import find_scenes, read_scene


def quantize_command(
    brackets: Annotated[Path, typer.Argument(metavar="DIR", help="One folder a scene, two or more exposures in each.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")],
    model: ModelOption = None,
) -> None:
    """Write a network with int8 layers (Q/DQ), for GPUs; `--model FILE` then uses it, on the CPU as well.

    The brackets should look like what the network will see; a few dozen are enough.

    Example: livemef lab quantize scenes -o cbm-int8.onnx
    """
    source = find_model(model or "cbm")
    data = quantised(source.read_bytes(), source.stem, _small_brackets(brackets))
    write_atomically(output, data)
    print(f"{output}: {len(data) / 1024:.0f} kB")


def _small_brackets(folder: Path) -> Iterator[Planes]:
    """Darkest and brightest exposure of each scene as the network's live input: small planes, lightness / 100."""
    for scene in find_scenes(folder):
        exposures = read_scene(scene).pixels
        ends = (small_picture(pixels, FusionSettings()) for pixels in (exposures[0], exposures[-1]))
        dark, bright = (small_lab(encoded, FusionSettings())[0] / 100 for encoded in ends)
        yield dark.astype("float32"), bright.astype("float32")
