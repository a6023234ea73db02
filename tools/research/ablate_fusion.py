"""`livemef lab ablate-fusion`: compares chroma rules and gammas on real pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from livemef.fusion.methods.registry import FuseFunction
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.exits import UserError
from livemef.tools.options import JsonOption
from livemef.tools.progress import progress_bar
from livemef.tools.research.ablation_table import Runs, print_comparison
from livemef.tools.research.evaluate import evaluate_scenes
from livemef.tools.scenes import find_scenes

ARMS: Mapping[str, FusionSettings] = {
    "tone (default)": FusionSettings(motion="off"),
    "no white level": FusionSettings(motion="off", white=0),
    "gamma 1": FusionSettings(motion="off", gamma=1.0),
    "gamma adaptive": FusionSettings(motion="off", gamma="adaptive"),
    "full resolution": FusionSettings(motion="off", network_lines=0),
    "chromaticity, select": FusionSettings(motion="off", colour="chromaticity"),
    "chromaticity, weighted": FusionSettings(motion="off", colour="chromaticity", chroma="weighted"),
    "a*, b* kept, select": FusionSettings(motion="off", colour="lab"),
}
_HEADINGS = {
    "mef_ssim": "MEF-\nSSIM",
    "mef_ssim_colour": "MEF-\nSSIMc",
    "camera_colour_error": "camera\ncolour",
    "hue_error": "hue\nerr °",
    "chroma_ratio": "chroma\nratio",
    "jnbm": "JNBM",
}


def ablate_fusion_command(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="One folder a scene, each with two or more exposures.")
    ],
    model: Annotated[str, typer.Option(metavar="NAME|FILE", help="The lightness network.")] = "cbm",
    json_output: JsonOption = False,
) -> None:
    """Fuse a folder of scenes with `select` and `weighted` chroma, with and without gamma, and compare the scores.

    Spread is over the scenes; differences are from the first line, scene by scene. The network sees full resolution.

    Example: livemef lab ablate-fusion scenes
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder")
    scenes = find_scenes(directory)
    methods = {arm: _opened(settings, model) for arm, settings in ARMS.items()}
    with progress_bar() as progress:
        scores = evaluate_scenes(scenes, methods, False, progress).scores
    runs: Runs = {arm: list(by_scene.values()) for arm, by_scene in scores.items()}
    print_comparison(runs, _HEADINGS, f"{model}, {len(scenes)} scenes", json_output)


def _opened(settings: FusionSettings, model: str) -> FuseFunction:
    fuser = open_fuser(settings, model=model)
    return lambda exposures: fuser.fuse(exposures).pixels
