"""Which pictures on disk belong together: scenes, and within a scene the order dark to bright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from livemef.capture.files.bracket_folder import dark_to_bright, pictures_in
from livemef.capture.files.image_io import PICTURE_SUFFIXES, exif_exposure, read_picture
from livemef.capture.frame import Pixels, brightness
from livemef.tools.exits import UserError


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
