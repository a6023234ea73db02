"""The kinds of camera by URI scheme, and the functions that open and find them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import cast

from livemef.capture.cameras.base import Camera, FoundCamera
from livemef.capture.errors import CaptureError
from livemef.capture.uri import CameraUri, nearest, parse_uri


@dataclass(frozen=True)
class Source:
    """A kind of camera: its module, the functions that open one and find all, and how to install what it needs."""

    module: str
    function: str
    remedy: str = ""
    finder: str = ""


_PICAMERA = Source(
    "livemef.capture.cameras.picamera",
    "open_picamera",
    "on a Raspberry Pi: sudo apt install python3-picamera2, and make the environment with --system-site-packages",
    "find_picamera",
)
SCHEMES: dict[str, Source] = {
    "sim": Source("livemef.capture.cameras.simulated", "open_simulated"),
    "file": Source("livemef.capture.cameras.replay", "open_replay"),
    "v4l2": Source("livemef.capture.cameras.v4l2", "open_v4l2", "pip install 'livemef[v4l2]'", "find_v4l2"),
    "csi": _PICAMERA,
    "libcamera": _PICAMERA,
    "argus": Source(
        "livemef.capture.cameras.argus",
        "open_argus",
        "on a Jetson: sudo apt install python3-gi gstreamer1.0-tools nvidia-l4t-gstreamer, "
        "and make the environment with --system-site-packages",
        "find_argus",
    ),
}
"""By URI scheme. A module is imported when a camera of its kind is opened or searched for."""


def open_camera(uri: str) -> Camera:
    """Open a camera from its URI: sim://, file://DIR, ... Raises CaptureError, naming the known schemes."""
    parsed = parse_uri(uri)
    if parsed.scheme not in SCHEMES:
        raise CaptureError(f"camera '{uri}': unknown kind '{parsed.scheme}://': {nearest(parsed.scheme, SCHEMES)}")
    source = SCHEMES[parsed.scheme]
    opener = cast(Callable[[CameraUri], Camera], getattr(_module_of(source, f"camera '{uri}'"), source.function))
    return opener(parsed)


def find_cameras(scheme: str) -> list[FoundCamera]:
    """The connected cameras of a kind (v4l2, csi, argus). Raises CaptureError without the packages it needs."""
    source = SCHEMES[scheme]
    finder = cast(Callable[[], list[FoundCamera]], getattr(_module_of(source, f"{scheme}://"), source.finder))
    return finder()


def _module_of(source: Source, what: str) -> ModuleType:
    try:
        return importlib.import_module(source.module)
    except (ImportError, ValueError) as error:  # ValueError: raised by PyGObject for a missing library
        if not source.remedy:
            raise
        raise CaptureError(f"{what}: {error}; {source.remedy}") from error
