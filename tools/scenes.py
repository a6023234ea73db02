"""Which pictures on disk belong together: scenes, and within a scene the order dark to bright."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capture.frame import Exposure, Pixels, brightness
from capture.pictures import PICTURE_SUFFIXES, exif_exposure, read_picture
from tools.exits import UserError

LEAST_RATIO = 1.05
"""EXIF exposures nearer to each other than this say nothing about the order (a camera that writes the same for all)."""


@dataclass(frozen=True)
class Scene:
    """Pictures of one scene, in no particular order."""

    name: str
    pictures: tuple[Path, ...]


@dataclass(frozen=True)
class Exposures:
    """A scene read: names and pixels, dark to bright, all of one shape and dtype."""

    names: tuple[str, ...]
    pixels: tuple[Pixels, ...]


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The picture files directly in a folder, by name; hidden ones are not looked at."""
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return tuple(sorted(path for path in files if path.suffix.lower() in PICTURE_SUFFIXES))


def find_scenes(folder: Path) -> tuple[Scene, ...]:
    """One scene for each folder in `folder` that holds pictures; else `folder` itself as one scene.

    Raises UserError where there is no picture at all.
    """
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    scenes = tuple(Scene(path.name, pictures_in(path)) for path in folders)
    scenes = tuple(scene for scene in scenes if scene.pictures)
    if scenes:
        return scenes
    own = pictures_in(folder)
    if not own:
        known = " ".join(sorted(PICTURE_SUFFIXES))
        raise UserError(f"{folder}: no pictures ({known}) in it, nor in the folders in it")
    return (Scene(folder.resolve().name, own),)


def dark_to_bright(measured: Sequence[Exposure | None], levels: Sequence[float]) -> list[int]:
    """The order of pictures: by EXIF exposure if every picture has one and they differ, else by brightness (0..1)."""
    lights = [exposure.light for exposure in measured if exposure is not None]
    ordered = sorted(lights)
    telling = all(after >= before * LEAST_RATIO for before, after in itertools.pairwise(ordered))
    keys = lights if len(lights) == len(measured) and telling else list(levels)
    return sorted(range(len(keys)), key=keys.__getitem__)


def _refuse_unequal(paths: Sequence[Path], pixels: Sequence[Pixels]) -> None:
    for path, picture in zip(paths[1:], pixels[1:], strict=True):
        if picture.shape != pixels[0].shape:
            sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (pixels[0], picture)]
            raise UserError(
                f"{paths[0]} is {sizes[0]}, {path} is {sizes[1]}: exposures of one scene must be of one size"
            )
        if picture.dtype != pixels[0].dtype:
            raise UserError(f"{paths[0]} is {pixels[0].dtype}, {path} is {picture.dtype}: give both in one depth")


def read_scene(scene: Scene) -> Exposures:
    """Read a scene's pictures and bring them in order. Raises UserError or CaptureError for what cannot be used."""
    if len(scene.pictures) < 2:
        found = scene.pictures[0].name if scene.pictures else "none"
        raise UserError(f"scene {scene.name}: needs two pictures or more of different exposure; found {found}")
    pixels = [read_picture(path) for path in scene.pictures]
    _refuse_unequal(scene.pictures, pixels)
    measured = [exif_exposure(path) for path in scene.pictures]
    order = dark_to_bright(measured, [brightness(picture) for picture in pixels])
    return Exposures(tuple(scene.pictures[i].name for i in order), tuple(pixels[i] for i in order))
