"""Which file opens which kind of camera."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from capture.cameras.base import Camera
from capture.errors import CaptureError
from capture.uri import CameraUri, nearest, parse_uri

SCHEMES: dict[str, tuple[str, str]] = {
    "sim": ("capture.cameras.simulated", "open_simulated"),
    "file": ("capture.cameras.replay", "open_replay"),
}
"""Scheme: module and function. The module is imported when a camera of its kind is opened, not before."""


def open_registered(uri: str) -> Camera:
    """Open the camera that a URI names. Raises CaptureError for an unknown scheme or what its file refuses."""
    parsed = parse_uri(uri)
    if parsed.scheme not in SCHEMES:
        raise CaptureError(f"camera '{uri}': unknown kind '{parsed.scheme}://': {nearest(parsed.scheme, SCHEMES)}")
    module, function = SCHEMES[parsed.scheme]
    opener = cast(Callable[[CameraUri], Camera], getattr(importlib.import_module(module), function))
    return opener(parsed)
