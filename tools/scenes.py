"""Finds scenes on disk: the pictures of a folder, or of a bracket of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from livemef.capture.errors import CaptureError
from livemef.capture.files.bracket_folder import BracketPictures, pictures_in, read_bracket
from livemef.capture.files.image_io import MAX_PIXELS, READABLE_SUFFIXES, read_picture
from livemef.capture.files.recording import Recording, is_recording
from livemef.tools.exits import UserError


@dataclass(frozen=True)
class Scene:
    """Pictures of one scene. in_order: they are known to stand dark to bright (a recording's are)."""

    name: str
    pictures: tuple[Path, ...]
    in_order: bool = False


def find_scenes(folder: Path) -> tuple[Scene, ...]:
    """One scene for each bracket of a recording; else for each folder in `folder` that holds pictures; else `folder`
    itself as one scene.

    Raises UserError where there is no picture at all, CaptureError for a recording that cannot be read.
    """
    if is_recording(folder):
        return _recorded(Recording(folder))
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    scenes = tuple(Scene(path.name, pictures_in(path)) for path in folders)
    scenes = tuple(scene for scene in scenes if scene.pictures)
    if scenes:
        return scenes
    own = pictures_in(folder)
    if not own:
        known = " ".join(sorted(READABLE_SUFFIXES))
        raise UserError(f"{folder}: no pictures ({known}) in it, nor in the folders in it")
    return (Scene(folder.resolve().name, own),)


def _recorded(recording: Recording) -> tuple[Scene, ...]:
    return tuple(
        Scene(f"{number:06d}", tuple(recording.files[place] for place in bracket.frames), in_order=True)
        for number, bracket in enumerate(recording.brackets)
    )


def read_scene(scene: Scene, max_pixels: int = MAX_PIXELS) -> BracketPictures:
    """Read a scene's pictures, dark to bright. Raises UserError or CaptureError for what cannot be used."""
    if len(scene.pictures) < 2:
        found = scene.pictures[0].name if scene.pictures else "none"
        raise UserError(f"scene {scene.name}: needs two pictures or more of different exposure; found {found}")
    if not scene.in_order:
        return read_bracket(scene.pictures, max_pixels)
    pixels = tuple(read_picture(path, max_pixels) for path in scene.pictures)
    if len({(picture.shape, picture.dtype) for picture in pixels}) > 1:
        raise CaptureError(f"scene {scene.name}: the recording's frames are not of one size and depth")
    return BracketPictures(scene.pictures, pixels, None)
