"""HEIC (through pillow-heif, the extra `formats`) and AVIF (through Pillow): 8 bits, upright, with their profile."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.files.exif import Exif, read_exif
from livemef.capture.frame import Pixels


@dataclass(frozen=True)
class HeifPicture:
    """Pixels (BGR uint8), upright; exif: its orientation is already applied; icc: the profile as stored."""

    pixels: Pixels
    exif: Exif
    icc: bytes


def read_heif(data: bytes, kind: str, max_pixels: int) -> HeifPicture:
    """The main picture of a HEIC or AVIF file; kind: "heif" or "avif". Raises CaptureError, in a few words."""
    from PIL import Image, features

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "heif" or not features.check("avif"):
            _register(kind)
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > max_pixels:
                    raise CaptureError(f"is {image.width}x{image.height}: more than {max_pixels / 1e6:g} megapixels")
                exif, icc = read_exif(image.info.get("exif") or b""), image.info.get("icc_profile") or b""
                pixels = np.asarray(image.convert("RGB"))
        except (CaptureError, MemoryError):
            raise
        except Exception as error:
            # Pillow's plugins meet damage with nearly any exception
            raise CaptureError(f"not a whole {_name(kind)} picture ({' '.join(str(error).split())[:120]})") from None
    return HeifPicture(np.ascontiguousarray(pixels[..., ::-1]), exif, icc)


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
