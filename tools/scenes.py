"""Finds scenes on disk: the pictures of a folder, or of a bracket of a recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.files.bracket_folder import BracketPictures, pictures_in, read_bracket
from livemef.capture.files.image_io import MAX_PIXELS, READABLE_SUFFIXES, read_picture
from livemef.capture.files.recording import Recording, is_recording
from livemef.capture.frame import Pixels
from livemef.tools.exits import UserError

BLACK, WHITE = 8 / 255, 247 / 255
"""Codes, over the highest, up to which, and from which on, a pixel with all its channels shows nothing."""
LEAST_SEEN_IN_BLACK, LEAST_SEEN_IN_WHITE = 1e-4, 5e-3
"""Part of an exposure that shows something, below which it is black or white all over. Lamps at night are small, and
only the darkest exposure may show them; what is white but for the deepest shadows lies over all the others as fog."""
SAMPLED_LINES = 1024
"""Of an exposure's lines about so many are looked at, and as large a part of its columns."""


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


def without_blank(exposures: BracketPictures) -> BracketPictures:
    """Without the exposures that are black or white all over, which would only take contrast from the others; all of
    them where fewer than two would be left. Each is named in the notes.
    """
    blank = [_blank(pixels) for pixels in exposures.pixels]
    kept = [place for place, colour in enumerate(blank) if not colour]
    used = kept if len(kept) > 1 else range(len(blank))
    end = ", and is left out" if len(kept) > 1 else ""
    notes = [f"{name} is all {colour}{end}" for name, colour in zip(exposures.names, blank, strict=True) if colour]
    return replace(
        exposures,
        files=tuple(exposures.files[place] for place in used),
        pixels=tuple(exposures.pixels[place] for place in used),
        exposures=exposures.exposures and tuple(exposures.exposures[place] for place in used),
        orientations=exposures.orientations and tuple(exposures.orientations[place] for place in used),
        notes=(*exposures.notes, *notes),
    )


def _blank(pixels: Pixels) -> str:
    """ "black" or "white", or "" for a picture that shows something."""
    step = max(1, min(pixels.shape[:2]) // SAMPLED_LINES)
    codes = pixels[::step, ::step] / np.iinfo(pixels.dtype).max
    seen_from, seen_to = (codes > BLACK).any(axis=2), (codes < WHITE).any(axis=2)
    if seen_from.mean() < LEAST_SEEN_IN_BLACK:
        return "black"
    return "white" if seen_to.mean() < LEAST_SEEN_IN_WHITE else ""
