"""`livemef lab label`: makes the cache of training pairs from folders of exposures."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from livemef.capture.files.bracket_folder import pictures_in, read_bracket
from livemef.capture.files.image_io import READABLE_SUFFIXES, to_8_bit
from livemef.capture.frame import LUMA_WEIGHTS, Pixels
from livemef.engine.dataset import PairEntry, write_index, write_pair
from livemef.fusion.errors import FusionError
from livemef.fusion.method.colour import XYZ_FROM_BGR, decode, decode_table, lab_f
from livemef.fusion.methods import mertens, mitm
from livemef.tools.progress import progress_bar

TARGETS = ("mitm", "mertens")
SMALLEST_SIDE = 64


@dataclass(frozen=True)
class Scene:
    """A folder's exposures, dark to bright, and the group of scenes that it belongs to."""

    name: str
    group: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class PairsSummary:
    """Scenes read, pairs made, and their smallest and largest exposure gap in stops."""

    scenes: int
    pairs: int
    smallest_ev: float
    largest_ev: float


def label_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="One folder a scene, two or more exposures in each")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the cache of training pairs")],
    ev_min: Annotated[float, typer.Option(help="Smallest exposure gap of a pair, in stops")] = 2.0,
    ev_max: Annotated[float, typer.Option(help="Largest exposure gap of a pair, in stops")] = 6.0,
) -> None:
    """Make training pairs with targets from folders of exposures.

    Example: livemef lab label scenes -o pairs
    """
    summary = make_pairs(folder, output, ev_min, ev_max)
    print(
        f"{summary.pairs} pairs of {summary.scenes} scenes, {summary.smallest_ev:.1f} to "
        f"{summary.largest_ev:.1f} EV, in {output}"
    )


def make_pairs(folder: Path, output: Path, ev_min: float = 2.0, ev_max: float = 6.0) -> PairsSummary:
    """Write a cache (engine.dataset) of every pair of exposures whose estimated gap is ev_min..ev_max stops.

    A scene with no such pair gives its widest. Targets: MITM of the pair; Mertens of all exposures from the
    dark to the bright one, since those between show how the picture should look. Raises FusionError.
    """
    if not 0.0 <= ev_min <= ev_max:
        raise FusionError(f"EV gap {ev_min}..{ev_max}: give two numbers, 0 or more, smaller first")
    scenes = find_scenes(folder)
    output.mkdir(parents=True, exist_ok=True)
    entries: list[PairEntry] = []
    with progress_bar() as progress:
        for scene in progress.track(scenes, description="making pairs"):
            entries.extend(_pairs_of_scene(scene, output, ev_min, ev_max))
    write_index(output, TARGETS, entries)
    gaps = [entry.ev for entry in entries]
    return PairsSummary(len(scenes), len(entries), min(gaps), max(gaps))


def find_scenes(folder: Path) -> list[Scene]:
    """The scenes of a folder: its sub-folders that hold two or more pictures. Raises FusionError if there is none.

    An index.csv with columns scene and group names scenes that show the same place; without, each scene is its
    own group.
    """
    groups = _read_groups(folder / "index.csv")
    scenes = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        files = pictures_in(path) if path.is_dir() else ()
        if len(files) >= 2:
            scenes.append(Scene(path.name, groups.get(path.name, path.name), files))
    if not scenes:
        raise FusionError(
            f"{folder}: no folder in it holds two or more exposures ({', '.join(sorted(READABLE_SUFFIXES))})"
        )
    return scenes


def _read_groups(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(newline="") as stream:
        rows = csv.DictReader(stream)
        if not {"scene", "group"} <= set(rows.fieldnames or ()):
            raise FusionError(f"{path}: needs the columns scene and group")
        return {row["scene"]: f"group {row['group']}" for row in rows}


def _pairs_of_scene(scene: Scene, output: Path, ev_min: float, ev_max: float) -> Iterator[PairEntry]:
    exposures = _read_exposures(scene)
    planes = [lightness_plane(exposure) for exposure in exposures]
    gaps = {pair: ev_gap(exposures[pair[0]], exposures[pair[1]]) for pair in combinations(range(len(exposures)), 2)}
    widest = max(gaps, key=lambda pair: gaps[pair])
    for dark, bright in [pair for pair, gap in gaps.items() if ev_min <= gap <= ev_max] or [widest]:
        pair = [exposures[dark], exposures[bright]]
        targets = [mitm.fused_luma(pair), _grey(mertens.fuse(exposures[dark : bright + 1]))]
        file = f"{scene.name}__{dark}_{bright}.npy"
        write_pair(output, file, [planes[dark], planes[bright], *(_lightness_of_grey(target) for target in targets)])
        yield PairEntry(file, scene.name, scene.group, (dark, bright), gaps[dark, bright])


def _read_exposures(scene: Scene) -> list[Pixels]:
    """The scene's pictures, dark to bright, uint8 BGR of one size. Raises CaptureError or FusionError."""
    exposures = [to_8_bit(pixels) for pixels in read_bracket(scene.files).pixels]
    if min(exposures[0].shape[:2]) < SMALLEST_SIDE:
        raise FusionError(f"{scene.files[0]}: smaller than {SMALLEST_SIDE} pixels a side")
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
    """L*/100 of an sRGB picture (BGR uint8), float32."""
    return np.asarray((116.0 * lab_f(_luminance(pixels)) - 16.0) / 100.0, np.float32)


def _lightness_of_grey(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((116.0 * lab_f(decode(codes / 255.0)) - 16.0) / 100.0, np.float32)


def _grey(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.astype(np.float32) @ np.array(LUMA_WEIGHTS, np.float32)
