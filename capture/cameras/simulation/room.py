"""The default scene: a dim room with a bright window, ray-traced once and kept in the user's cache folder.

About twelve stops lie between the corners of the room and the clouds outside; no single exposure holds them.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.simulation.balloon import balloon
from livemef.capture.cameras.simulation.scene import Scene, margin_of, swaying_window

_SOURCES = (
    "room.py",
    "room_light.py",
    "daylight_map.py",
    "furniture.py",
    "outdoors.py",
    "textures.py",
    "raycast.py",
    "tracing.py",
)


def room_scene(width: int, height: int, motion: float) -> Scene:
    """The room for a picture of width x height, seen by a camera that sways a little; a balloon drifts through it."""
    margin = margin_of(width)
    radiance = _cached(height + 2 * margin, width + 2 * margin)
    return Scene(radiance, swaying_window(width, motion), (balloon(width, height, motion),))


def _cached(height: int, width: int) -> NDArray[np.float32]:
    """The traced room, from the cache if it is there; half floats either way, so that both are the same."""
    file = _cache_folder() / f"room-{width}x{height}-{_fingerprint()}.npy"
    try:
        kept = np.load(file)
        if kept.shape == (height, width, 3) and kept.dtype == np.float16:
            return np.asarray(kept, np.float32)
    except (OSError, ValueError, EOFError):
        pass
    from livemef.capture.cameras.simulation.tracing import trace_room

    traced = trace_room(height, width).astype(np.float16)
    _keep(file, traced)
    return traced.astype(np.float32)


def _keep(file: Path, traced: NDArray[np.float16]) -> None:
    """In place of what older code made. Where the cache cannot be written, the room is traced again next time."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            np.save(stream, traced)
        os.replace(temporary, file)
        for older in set(file.parent.glob(f"{file.name.rpartition('-')[0]}-*.npy")) - {file}:
            older.unlink()
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "livemef"


def _fingerprint() -> str:
    """Of the code that makes the room: a cached picture of older code is not used."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((Path(__file__).with_name(name)).read_bytes())
    return digest.hexdigest()[:16]
