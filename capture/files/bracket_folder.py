"""Which pictures of a folder make a bracket, in what order, and how far apart they are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import PICTURE_SUFFIXES, exif_exposure, read_picture
from livemef.capture.frame import Exposure, Pixels, brightness
from livemef.capture.srgb import decode

_TELLING_RATIO = 1.05
"""EXIF exposures closer than this are one setting written into all the pictures, not a bracket."""


@dataclass(frozen=True)
class BracketFolder:
    """A bracket on disk, dark to bright. `exposures` are EXIF's, None if EXIF does not tell the pictures apart."""

    folder: Path
    files: tuple[Path, ...]
    exposures: tuple[Exposure, ...] | None
    shape: tuple[int, ...]
    dtype: str


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The picture files directly in a folder, by name; hidden ones are left out. Raises CaptureError."""
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise CaptureError(f"folder {folder}: cannot be read: {error.strerror}") from None
    return tuple(sorted(path for path in files if path.suffix.lower() in PICTURE_SUFFIXES))


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
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise CaptureError(f"folder {folder}: holds no pictures ({known}), nor do the folders in it")
    return brackets


def read_bracket_folder(folder: Path) -> BracketFolder:
    """The pictures of one folder as a bracket: under.* / over.*, 0.*, 1.*, ..., else by EXIF exposure or brightness.

    Raises CaptureError for fewer than two pictures, unequal ones, or one that cannot be read.
    """
    files = pictures_in(folder)
    if len(files) < 2:
        raise CaptureError(f"folder {folder}: a bracket needs two pictures or more, it holds {len(files)}")
    levels = []
    first: Pixels | None = None
    for file in files:
        pixels = read_picture(file)
        first = pixels if first is None else first
        _refuse_unequal(files[0], first, file, pixels)
        levels.append(brightness(pixels))
    assert first is not None
    measured = [exif_exposure(file) for file in files]
    exposures = _telling(measured)
    order = _order_by_name(files) or dark_to_bright(measured, levels)
    ordered = tuple(exposures[place] for place in order) if exposures else None
    return BracketFolder(folder, tuple(files[place] for place in order), ordered, first.shape, str(first.dtype))


def dark_to_bright(measured: Sequence[Exposure | None], levels: Sequence[float]) -> list[int]:
    """The order of pictures: by EXIF exposure if every picture has one and they differ, else by brightness (0..1)."""
    exposures = _telling(measured)
    return _order_by([exposure.light for exposure in exposures] if exposures else levels)


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
    luma: NDArray[np.float64] = small @ np.array([0.114, 0.587, 0.299]) / np.iinfo(pixels.dtype).max
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


def _telling(exposures: Sequence[Exposure | None]) -> tuple[Exposure, ...] | None:
    known = tuple(exposure for exposure in exposures if exposure is not None)
    lights = sorted(exposure.light for exposure in known)
    apart = all(b > _TELLING_RATIO * a for a, b in itertools.pairwise(lights))
    return known if len(known) == len(exposures) and apart else None


def _order_by_name(files: Sequence[Path]) -> list[int] | None:
    stems = [file.stem.lower() for file in files]
    if sorted(stems) == ["over", "under"]:
        return [stems.index("under"), stems.index("over")]
    if all(stem.isdecimal() for stem in stems) and sorted(map(int, stems)) == list(range(len(stems))):
        return _order_by([int(stem) for stem in stems])
    return None


def _order_by(keys: Sequence[float]) -> list[int]:
    return sorted(range(len(keys)), key=keys.__getitem__)
