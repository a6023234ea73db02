"""HEIC (through pillow-heif, the extra `formats`) and AVIF (through Pillow): 8 bits, upright, with their colours."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.files.base_media import bits_a_sample, code_points, main_properties
from livemef.capture.files.code_points import space_of_code_points
from livemef.capture.files.colour_space import ColourSpace
from livemef.capture.files.exif import NO_EXIF, Exif, read_exif
from livemef.capture.frame import Pixels

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class HeifPicture:
    """Pixels (BGR uint8), upright; exif: its orientation is already applied; icc: the profile as stored.

    space: by code points, where there is no profile; None: nothing is said. notes: what is odd about the file.
    """

    pixels: Pixels
    exif: Exif
    icc: bytes
    space: ColourSpace | None = None
    notes: tuple[str, ...] = ()


def read_heif(data: bytes, kind: str, max_pixels: int) -> HeifPicture:
    """The main picture of a HEIC or AVIF file; kind: "heif" or "avif". Raises CaptureError, in a few words."""
    properties = main_properties(data)
    try:
        with _opened(data, kind) as image:
            if image.width * image.height > max_pixels:
                raise CaptureError(f"is {image.width}x{image.height}: more than {max_pixels / 1e6:g} megapixels")
            exif, icc = read_exif(image.info.get("exif") or b""), image.info.get("icc_profile") or b""
            space = None if icc else _space(code_points(properties))
            pixels = np.asarray(image.convert("RGB"))
    except (CaptureError, MemoryError):
        raise
    except Exception as error:
        # Pillow's plugins meet damage with nearly any exception
        raise CaptureError(f"not a whole {_name(kind)} picture ({' '.join(str(error).split())[:120]})") from None
    bits = bits_a_sample(properties)
    notes = (f"has {bits} bits a sample, of which 8 were read",) if bits > 8 else ()
    return HeifPicture(np.ascontiguousarray(pixels[..., ::-1]), exif, icc, space, notes)


def heif_exif(data: bytes, kind: str) -> Exif:
    """What the EXIF block of the main picture says; nothing where it, or the file, cannot be read."""
    try:
        with _opened(data, kind) as image:
            return read_exif(image.info.get("exif") or b"")
    except Exception:
        return NO_EXIF


@contextmanager
def _opened(data: bytes, kind: str) -> Iterator[Image.Image]:
    from PIL import Image, features

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "heif" or not features.check("avif"):
            _register(kind)
        with Image.open(io.BytesIO(data)) as image:
            yield image


def _space(points: tuple[int, int] | None) -> ColourSpace | None:
    try:
        return space_of_code_points(*points) if points else None
    except ValueError as error:
        raise CaptureError(str(error)) from None


def _register(kind: str) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise CaptureError(f"is a {_name(kind)} picture: pip install 'livemef[formats]' to read it") from None
    if kind == "heif":
        pillow_heif.register_heif_opener()
    else:
        raise CaptureError("is an AVIF picture: pip install -U 'pillow>=11.3' to read it")


def _name(kind: str) -> str:
    return "HEIC" if kind == "heif" else "AVIF"
