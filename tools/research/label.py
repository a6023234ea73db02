"""`livemef lab label`: makes the cache of training stacks from folders of exposures."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, combinations, pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from livemef.capture.files.image_io import to_8_bit
from livemef.capture.frame import LUMA_WEIGHTS, Pixels
from livemef.engine.dataset import Stack, write_index, write_stack
from livemef.fusion.errors import FusionError
from livemef.fusion.method.colour import XYZ_FROM_BGR, decode, decode_table, lab_f
from livemef.fusion.method.colour_transfer import luma_lightness
from livemef.fusion.methods import mertens, mitm
from livemef.tools.exits import UserError
from livemef.tools.progress import progress_bar
from livemef.tools.scenes import Scene, find_scenes, read_scene

TARGETS = ("mitm", "mertens")
SMALLEST_SIDE = 64


@dataclass(frozen=True)
class StacksSummary:
    """Scenes read, stacks made, and the smallest and largest gap between their ends in stops."""

    scenes: int
    stacks: int
    smallest_ev: float
    largest_ev: float


def label_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="One folder a scene, two or more exposures in each")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the cache of training stacks")],
    ev_min: Annotated[float, typer.Option(help="Smallest gap from the darkest to the brightest, in stops")] = 2.0,
    ev_max: Annotated[float, typer.Option(help="Largest gap, in stops")] = 15.0,
    whole: Annotated[bool, typer.Option("--whole", help="One stack a scene, of all its exposures")] = False,
) -> None:
    """Make training stacks with targets from folders of exposures.

    Example: livemef lab label scenes -o stacks
    """
    summary = make_stacks(folder, output, ev_min, ev_max, whole)
    print(
        f"{summary.stacks} stacks of {summary.scenes} scenes, {summary.smallest_ev:.1f} to "
        f"{summary.largest_ev:.1f} EV, in {output}"
    )


def make_stacks(
    folder: Path, output: Path, ev_min: float = 2.0, ev_max: float = 15.0, whole: bool = False
) -> StacksSummary:
    """Write a cache (engine.dataset): for every two exposures whose estimated gap is ev_min..ev_max stops a stack of
    them and all between them. A scene without such a stack gives its widest. whole: one stack a scene, of all of it.

    Targets: MITM of a stack's ends; Mertens of all its exposures, since those between the ends show how the picture
    should look. Raises FusionError, UserError or CaptureError.
    """
    if not 0.0 <= ev_min <= ev_max:
        raise FusionError(f"EV gap {ev_min}..{ev_max}: give two numbers, 0 or more, smaller first")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    groups = _read_groups(folder / "index.csv")
    scenes = [scene for scene in find_scenes(folder) if len(scene.pictures) >= 2]
    if not scenes:
        raise UserError(f"{folder}: no folder in it holds two or more exposures")
    output.mkdir(parents=True, exist_ok=True)
    entries: list[Stack] = []
    with progress_bar() as progress:
        for scene in progress.track(scenes, description="making stacks"):
            group = groups.get(scene.name, scene.name)
            entries.extend(_stacks_of_scene(scene, group, output, (0.0, np.inf) if whole else (ev_min, ev_max), whole))
    write_index(output, TARGETS, entries)
    gaps = [entry.evs[-1] for entry in entries]
    return StacksSummary(len(scenes), len(entries), min(gaps), max(gaps))


def _read_groups(path: Path) -> Mapping[str, str]:
    """Group by scene, from an index.csv with columns scene and group; without one, each scene is its own group."""
    if not path.is_file():
        return {}
    with path.open(newline="") as stream:
        rows = csv.DictReader(stream)
        if not {"scene", "group"} <= set(rows.fieldnames or ()):
            raise FusionError(f"{path}: needs the columns scene and group")
        return {row["scene"]: f"group {row['group']}" for row in rows}


def _stacks_of_scene(
    scene: Scene, group: str, output: Path, limits: tuple[float, float], whole: bool
) -> Iterator[Stack]:
    exposures = _read_exposures(scene)
    planes = [lightness_plane(exposure) for exposure in exposures]
    levels = [0.0, *accumulate(ev_gap(darker, brighter) for darker, brighter in pairwise(exposures))]
    widest = (0, len(exposures) - 1)
    ends = [widest] if whole else list(combinations(range(len(exposures)), 2))
    wanted = [(dark, bright) for dark, bright in ends if limits[0] <= levels[bright] - levels[dark] <= limits[1]]
    for dark, bright in wanted or [widest]:
        stack = exposures[dark : bright + 1]
        lumas = mitm.fused_luma([stack[0], stack[-1]]), _grey(mertens.fuse(stack))
        file = f"{scene.name}__{dark}_{bright}.npy"
        write_stack(output, file, [*planes[dark : bright + 1], *(_lightness_of_grey(luma) for luma in lumas)])
        frames = range(dark, bright + 1)
        yield Stack(file, scene.name, group, tuple(frames), tuple(levels[frame] - levels[dark] for frame in frames))


def _read_exposures(scene: Scene) -> list[Pixels]:
    """The scene's pictures, dark to bright, uint8 BGR of one size. Raises UserError, CaptureError or FusionError."""
    exposures = [to_8_bit(pixels) for pixels in read_scene(scene).pixels]
    if min(exposures[0].shape[:2]) < SMALLEST_SIDE:
        raise FusionError(f"{scene.pictures[0]}: smaller than {SMALLEST_SIDE} pixels a side")
    return exposures


def ev_gap(dark: Pixels, bright: Pixels) -> float:
    """Stops between two pictures of a scene, estimated: median ratio of linear light where neither is clipped.

    If too few pixels are usable in both, it is the ratio of the pictures' mean light: a lower bound, since clipping
    brings the means together.
    """
    usable = (dark.min(axis=2) >= 12) & (bright.max(axis=2) <= 243)
    light_dark, light_bright = _luminance(dark), _luminance(bright)
    if usable.mean() < 0.005:
        return float(np.log2((light_bright.mean() + 1e-6) / (light_dark.mean() + 1e-6)))
    return float(np.log2(np.median(light_bright[usable] / light_dark[usable])))


def _luminance(pixels: Pixels) -> NDArray[np.float32]:
    return np.asarray(decode_table(256)[pixels] @ XYZ_FROM_BGR[1].astype(np.float32))


def lightness_plane(pixels: Pixels) -> NDArray[np.float32]:
    """L*/100 of the grey with each pixel's luma (BGR uint8): the lightness that fusion gives the network. float32."""
    return np.asarray(luma_lightness(pixels.astype(np.float32) / np.float32(255.0)) / 100.0, np.float32)


def _lightness_of_grey(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((116.0 * lab_f(decode(codes / 255.0)) - 16.0) / 100.0, np.float32)


def _grey(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.astype(np.float32) @ np.array(LUMA_WEIGHTS, np.float32)
