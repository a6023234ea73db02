"""Fusing from a program: one call for a few arrays, or an open fuser for many brackets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from livemef.capture.frame import Bracket, CapturedBracket, Pixels, brightness
from livemef.fusion.errors import FusionError
from livemef.fusion.fuser import Fused, Fuser, check_exposures
from livemef.fusion.motion.compensation import UNKNOWN, Moments
from livemef.fusion.motion.intensity_mapping import light_at_knots, light_of_linear
from livemef.fusion.motion.steadiness import Place
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings

STILLS = FusionSettings(motion="off")
"""The settings for single pictures, of which nothing is known to have moved between the exposures."""


class BracketFuser:
    """Fuses brackets one after the other with one network. Use it as a context manager; one caller at a time.

    Made by `livemef.open_fuser`.
    """

    def __init__(self, fuser: Fuser) -> None:
        self._fuser = fuser
        self._open = True

    @property
    def settings(self) -> FusionSettings:
        """How brackets are fused."""
        return self._fuser.settings

    @property
    def device(self) -> str:
        """What computes: "cpu" or the name of the GPU."""
        return self._fuser.device

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the network's file, in hexadecimal digits."""
        return self._fuser.model_sha256

    def fuse(self, exposures: CapturedBracket | Sequence[Pixels]) -> Fused:
        """Fuse a camera's bracket, or two or more arrays of one shape and dtype.

        Arrays: BGR, height x width x 3, uint8 or uint16, sRGB-encoded, in any order: they are sorted by their
        brightness. The result has their shape and dtype. A bracket's picture shows the moment of its newest frame, and
        brackets of one camera, in order, are fused as one steady stream: use another fuser for another camera.
        Raises FusionError for exposures that cannot be fused, TypeError for what is no array.
        """
        if not self._open:
            raise FusionError("this fuser has been closed: open another")
        if isinstance(exposures, CapturedBracket):
            return self._fuser.fuse(exposures.pixels, moments=moments_of(exposures.bracket))
        for exposure in exposures:
            if not isinstance(exposure, np.ndarray):
                raise TypeError(f"an exposure is a numpy array, not {exposure!r}: livemef.read_picture reads a file")
        check_exposures(exposures)
        return self._fuser.fuse(sorted(exposures, key=brightness), moments=UNKNOWN)

    def close(self) -> None:
        """Free threads and device memory. The fuser cannot be used afterwards; may be called twice."""
        if self._open:
            self._open = False
            self._fuser.close()

    def __enter__(self) -> BracketFuser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_bracket_fuser(
    settings: FusionSettings | None = None,
    *,
    model: str | Path = "cbm",
    device: str = "auto",
    threads: int | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> BracketFuser:
    """Open a fuser for many brackets.

    settings: None = those of the live pipeline. model: the name of a network that comes with livemef, or an ONNX file.
    device: "cpu", "cuda", or "auto", which is CUDA where it can be had. threads: None = one for each usable core.
    on_progress: called with a line of text, at least twice a second, while something takes long (an engine for a new
    GPU: minutes).
    Raises FusionError for a device that cannot be had, EngineError for a network that cannot be loaded.
    """
    return BracketFuser(open_fuser(settings, model, device, threads, on_progress))


def fuse(
    exposures: Sequence[Pixels],
    settings: FusionSettings = STILLS,
    *,
    model: str | Path = "cbm",
    device: str = "auto",
    threads: int | None = None,
) -> Pixels:
    """Fuse differently exposed pictures of one scene into one, as `livemef fuse` does with files.

    exposures: two or more arrays in any order, BGR, height x width x 3, uint8 or uint16, sRGB-encoded, all of one shape
    and dtype. They are not changed. settings: by default nothing is done about motion; `FusionSettings(motion="full")`
    for hand-held pictures. model, device, threads: as in `open_fuser`, which is quicker for many pictures, since it
    loads the network once.

    Returns a new array of the same shape and dtype. Raises FusionError for exposures that cannot be fused, EngineError
    for a network that cannot be loaded.

        import livemef
        under, over = livemef.read_picture("under.jpg"), livemef.read_picture("over.jpg")
        livemef.write_picture("fused.png", livemef.fuse([under, over]))

    Method: Son, Go, Lee, Lee, "Variance-driven U-Net Training and Chroma-scale-based Multi-exposure Image Fusion",
    Mathematics 2025, 13(22), 3629.
    """
    with open_bracket_fuser(settings, model=model, device=device, threads=threads) as fuser:
        return fuser.fuse(exposures).pixels


def moments_of(bracket: Bracket, measured: Sequence[Sequence[float]] | None = None) -> Moments:
    """How a bracket was taken, for motion: its exposures' light, the newest frame as the moment to show, its place in
    the stream, and the camera's response: as measured (linear light of each channel at equally spaced codes), else as
    the camera states it, else not known.
    """
    newest = bracket.newest
    frames = tuple(record.sequence for record in bracket.records)
    response = None if measured is None else light_at_knots(measured)
    if response is None and newest.response == "linear":
        top = 255 if newest.white_level <= 255 else 65535  # of the pictures' dtype
        response = light_of_linear(newest.black_level / top, newest.white_level / top)
    return Moments(bracket.lights, bracket.records.index(newest), Place(newest.epoch, frames), response)
