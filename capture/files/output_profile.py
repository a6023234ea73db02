"""The colour space that a picture is written in: by a name, or an institution's own ICC profile."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from livemef.capture.errors import CaptureError
from livemef.capture.files.colour_space import ADOBE_RGB, LSTAR_RGB, SRGB, ColourSpace, from_srgb, is_srgb
from livemef.capture.files.icc import icc_profile, matrix_space, profile_name
from livemef.capture.files.small_file import read_small_file
from livemef.capture.frame import Pixels

NAMED = {"srgb": SRGB, "adobe-rgb": ADOBE_RGB, "l-star": LSTAR_RGB}
"""l-star: primaries and curve of eciRGB v2."""
LARGEST_PROFILE = 1 << 20


@dataclass(frozen=True, eq=False)
class OutputProfile:
    """name: in words. icc: the profile's bytes, embedded as they are."""

    name: str
    icc: bytes
    space: ColourSpace

    @property
    def srgb(self) -> bool:
        """Whether it means the same colours as sRGB."""
        return is_srgb(self.space)

    def convert(self, pixels: Pixels) -> Pixels:
        """An sRGB picture (BGR, uint8 or uint16) in this space."""
        return pixels if self.srgb else from_srgb(pixels, self.space)


def output_profile(text: str) -> OutputProfile:
    """By name (`NAMED`), or from a file. Raises CaptureError for a file that is no profile of three primaries."""
    if text in NAMED:
        space = NAMED[text]
        return OutputProfile(space.name, icc_profile(space), space)
    path = Path(text).expanduser()
    try:
        icc = read_small_file(path, LARGEST_PROFILE)
    except OSError as error:
        known = ", ".join(NAMED)
        raise CaptureError(f"profile {path}: {error.strerror}; name {known}, or a file.icc") from None
    try:
        if icc[36:40] != b"acsp" or icc[16:20] != b"RGB ":
            raise ValueError
        space_of_file = matrix_space(icc)
    except (struct.error, ValueError, IndexError):
        raise CaptureError(f"profile {path}: is no ICC profile of RGB pictures, or is damaged") from None
    if space_of_file is None:
        raise CaptureError(f"profile {path}: is made of tables; one of three primaries and curves is needed")
    return OutputProfile(profile_name(icc), icc, space_of_file)
