"""Which file opens which kind of camera."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from capture.cameras.base import Camera
from capture.errors import CaptureError
from capture.uri import CameraUri, nearest, parse_uri


@dataclass(frozen=True)
class Source:
    """A kind of camera: module and function that open it, and how to get what the module needs."""

    module: str
    function: str
    remedy: str = ""


_PICAMERA = Source(
    "capture.cameras.picamera",
    "open_picamera",
    "on a Raspberry Pi: sudo apt install python3-picamera2, and make the environment with --system-site-packages",
)
SCHEMES: dict[str, Source] = {
    "sim": Source("capture.cameras.simulated", "open_simulated"),
    "file": Source("capture.cameras.replay", "open_replay"),
    "v4l2": Source("capture.cameras.v4l2", "open_v4l2", "pip install 'livemef[v4l2]'"),
    "csi": _PICAMERA,
    "libcamera": _PICAMERA,
    "argus": Source(
        "capture.cameras.argus",
        "open_argus",
        "on a Jetson: sudo apt install python3-gi gstreamer1.0-tools nvidia-l4t-gstreamer, "
        "and make the environment with --system-site-packages",
    ),
}
"""By scheme. The module is imported when a camera of its kind is opened, not before."""


def open_registered(uri: str) -> Camera:
    """Open the camera that a URI names. Raises CaptureError for an unknown scheme or what its file refuses."""
    parsed = parse_uri(uri)
    if parsed.scheme not in SCHEMES:
        raise CaptureError(f"camera '{uri}': unknown kind '{parsed.scheme}://': {nearest(parsed.scheme, SCHEMES)}")
    source = SCHEMES[parsed.scheme]
    try:
        module = importlib.import_module(source.module)
    except ImportError as error:
        if not source.remedy:
            raise
        raise CaptureError(f"camera '{uri}': {error} (it is needed here); {source.remedy}") from error
    opener = cast(Callable[[CameraUri], Camera], getattr(module, source.function))
    return opener(parsed)
