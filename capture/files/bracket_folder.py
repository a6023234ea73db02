"""Which pictures of a folder make a bracket, in what order, and how far apart they are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.exif import relative_exposures
from livemef.capture.files.image_io import MAX_PIXELS, READABLE_SUFFIXES, open_picture, upright
from livemef.capture.files.kinds import RAW_SUFFIXES
from livemef.capture.files.orientation import agreed_orientations
from livemef.capture.frame import LUMA_WEIGHTS, Exposure, Pixels, brightness
from livemef.capture.srgb import decode

MOST_PICTURES = 64
"""Of one bracket: more in one folder are many scenes, and would fill the memory."""
LOG = logging.getLogger("livemef.capture.files")


@dataclass(frozen=True)
class BracketFolder:
    """A bracket on disk, dark to bright.

    exposures: EXIF's, None if EXIF does not tell the pictures apart. orientations: EXIF's, as the pictures agree.
    """

    folder: Path
    files: tuple[Path, ...]
    exposures: tuple[Exposure, ...] | None
    shape: tuple[int, ...]
    dtype: str
    orientations: tuple[int, ...]

    def read(self) -> list[Pixels]:
        """The pictures, dark to bright, upright. Raises CaptureError for one that cannot be read any more."""
        turned = zip(self.files, self.orientations, strict=True)
        return [upright(open_picture(file).pixels, orientation) for file, orientation in turned]


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The picture files directly in a folder, by name; hidden ones are left out. Raises CaptureError.

    Raw files count only where there is nothing else: cameras write a JPEG beside each. A link to a picture that is not
    there counts: without it the bracket would lack an exposure, and nobody would see it.
    """
    try:
        named = [path for path in folder.iterdir() if not path.name.startswith(".")]
        files = [path for path in named if path.is_file() or (path.is_symlink() and not path.exists())]
    except OSError as error:
        raise CaptureError(f"folder {folder}: cannot be read: {error.strerror}") from None
    developed = sorted(path for path in files if path.suffix.lower() in READABLE_SUFFIXES)
    return tuple(developed or sorted(path for path in files if path.suffix.lower() in RAW_SUFFIXES))


def find_brackets(folder: Path) -> tuple[BracketFolder, ...]:
    """The bracket in a folder, or else the brackets in the folders in it, by name. Every picture is read once.

    Raises CaptureError naming the first picture or folder that cannot be used.
    """
    if not folder.is_dir():
        raise CaptureError(f"folder {folder}: {'is not a folder' if folder.exists() else 'there is no such folder'}")
    if pictures_in(folder):
        return (read_bracket_folder(folder),)
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    brackets = tuple(read_bracket_folder(path) for path in inner if pictures_in(path))
    if not brackets:
        known = ", ".join(sorted(READABLE_SUFFIXES))
        raise CaptureError(f"folder {folder}: holds no pictures ({known}), nor do the folders in it")
    return brackets


def read_bracket_folder(folder: Path) -> BracketFolder:
    """The pictures of one folder as a bracket, dark to bright (`read_bracket` says in which order).

    Raises CaptureError for fewer than two pictures, unequal ones, or one that cannot be read.
    """
    files = pictures_in(folder)
    if len(files) < 2:
        raise CaptureError(f"folder {folder}: a bracket needs two pictures or more, it holds {len(files)}")
    read = read_bracket(files)
    for note in read.notes:
        LOG.warning("folder %s: %s", folder, note)
    first = read.pixels[0]
    return BracketFolder(folder, read.files, read.exposures, first.shape, str(first.dtype), read.orientations)


@dataclass(frozen=True)
class BracketPictures:
    """A bracket that was read, dark to bright: pixels (BGR, sRGB, uint8 or uint16) of one shape and depth, upright.

    exposures: EXIF's, true in relation to each other; None if EXIF does not tell the pictures apart.
    orientations: EXIF's numbers as the pictures agree on them, already applied. notes: what is odd about the pictures,
    one line each. converted_from: the colour spaces that they were converted from, without sRGB.
    """

    files: tuple[Path, ...]
    pixels: tuple[Pixels, ...]
    exposures: tuple[Exposure, ...] | None
    orientations: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    converted_from: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names."""
        return tuple(file.name for file in self.files)


def read_bracket(files: Sequence[Path], max_pixels: int = MAX_PIXELS) -> BracketPictures:
    """Read the pictures of one scene and bring them in order: by the light that EXIF gives (exposure time, ISO,
    aperture) if every picture has it and they differ, else by brightness.

    Raises CaptureError for too many or unequal pictures, one that cannot be read, or orientations that contradict each
    other.
    """
    if len(files) > MOST_PICTURES:
        raise CaptureError(
            f"folder {files[0].parent}: {len(files)} pictures for one scene, {MOST_PICTURES} are the most: put the "
            "exposures of each scene into a folder of their own"
        )
    pictures = [open_picture(file, max_pixels) for file in files]
    orientations, notes = agreed_orientations(files, pictures)
    pixels = [upright(picture.pixels, turn) for picture, turn in zip(pictures, orientations, strict=True)]
    for file, other in zip(files[1:], pixels[1:], strict=True):
        _refuse_unequal(files[0], pixels[0], file, other)
    levels = [brightness(picture) for picture in pixels]
    exposures = relative_exposures([picture.exif for picture in pictures])
    order = _order_by([exposure.light for exposure in exposures] if exposures else levels)
    notes += [f"{file.name}: {note}" for file, picture in zip(files, pictures, strict=True) for note in picture.notes]
    notes += _same_pictures(files, pixels)
    return BracketPictures(
        tuple(files[place] for place in order),
        tuple(pixels[place] for place in order),
        tuple(exposures[place] for place in order) if exposures else None,
        tuple(orientations[place] for place in order),
        tuple(notes),
        tuple(sorted({picture.converted_from for picture in pictures} - {""})),
    )


def _same_pictures(files: Sequence[Path], pixels: Sequence[Pixels]) -> list[str]:
    alike: dict[bytes, list[str]] = {}
    for file, picture in zip(files, pixels, strict=True):
        alike.setdefault(hashlib.sha256(np.ascontiguousarray(picture).data).digest(), []).append(file.name)
    return [
        f"{', '.join(names[:-1])} and {names[-1]} are the same picture: is one of them missing?"
        for names in alike.values()
        if len(names) > 1
    ]


def estimated_ratio(darker: Pixels, brighter: Pixels) -> float:
    """How many times more light the brighter of two sRGB pictures got, from the pixels that both show well.

    At least 1.3; 4 where no pixel shows in both.
    """
    dark, bright = (_luma(pixels) for pixels in (darker, brighter))
    both = (dark > 0.05) & (bright < 0.9) & (dark < bright)
    if np.count_nonzero(both) < 16:
        return 4.0
    return max(1.3, float(np.median(decode(bright[both]) / decode(dark[both]))))


def _luma(pixels: Pixels) -> NDArray[np.float64]:
    small = pixels[:: max(1, pixels.shape[0] // 256), :: max(1, pixels.shape[1] // 256)]
    luma: NDArray[np.float64] = small @ np.array(LUMA_WEIGHTS) / np.iinfo(pixels.dtype).max
    return luma


def _refuse_unequal(path: Path, pixels: Pixels, other_path: Path, other: Pixels) -> None:
    if other.shape != pixels.shape:
        sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (pixels, other)]
        raise CaptureError(
            f"picture {other_path} is {sizes[1]}, {path.name} is {sizes[0]}: the exposures of a bracket must be of one "
            "size"
        )
    if other.dtype != pixels.dtype:
        raise CaptureError(
            f"picture {other_path} is {other.dtype}, {path.name} is {pixels.dtype}: the exposures of a bracket must be "
            "of one depth"
        )


def _order_by(keys: Sequence[float]) -> list[int]:
    return sorted(range(len(keys)), key=keys.__getitem__)
