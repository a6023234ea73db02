"""The cache of training stacks, written by `livemef lab label` and read by training. It holds lightness planes only.

A stack is the exposures of a scene from a dark to a bright one, with all between them. The cache is a folder with
index.json and one .npy a stack: uint16 [exposures + targets, height, width], 65535 = L* of 100; exposures dark to
bright, then the targets in the order of the index.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.engine.errors import EngineError

FORMAT = 2
FULL = 65535.0


@dataclass(frozen=True)
class Stack:
    """One stack of the cache. file: its .npy file. group: stacks of one group show the same place, and all of them go
    into training or all into validation. frames: indices of its exposures in the scene, dark to bright. evs: estimated
    stops of each above the darkest.
    """

    file: str
    scene: str
    group: str
    frames: tuple[int, ...]
    evs: tuple[float, ...]


@dataclass(frozen=True)
class StackCache:
    """An open cache. targets: names of the target planes, in the order of the files."""

    folder: Path
    targets: tuple[str, ...]
    entries: tuple[Stack, ...]

    def load(self, entry: Stack) -> NDArray[np.uint16]:
        """The stack's planes, uint16 [exposures + targets, height, width], mapped from the file. Raises EngineError."""
        path = self.folder / entry.file
        try:
            planes: NDArray[np.uint16] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise EngineError(
                f"training stack {path}: cannot be read ({error}); run `livemef lab label` again"
            ) from error
        count = len(entry.frames) + len(self.targets)
        if planes.dtype != np.uint16 or planes.ndim != 3 or planes.shape[0] != count:
            raise EngineError(
                f"training stack {path}: {planes.dtype} {planes.shape}, not uint16 of {count} planes; run "
                "`livemef lab label` again"
            )
        return planes

    def split(self, validation_share: float, seed: int) -> tuple[tuple[Stack, ...], tuple[Stack, ...]]:
        """(training, validation) entries, split by groups at random from `seed`; validation gets a share of
        `validation_share` (0..1) of the groups, at least one.
        """
        groups = sorted({entry.group for entry in self.entries})
        count = max(1, round(validation_share * len(groups)))
        held_out = set(np.random.default_rng(seed).permutation(groups)[:count].tolist())
        training = tuple(entry for entry in self.entries if entry.group not in held_out)
        return training, tuple(entry for entry in self.entries if entry.group in held_out)


def open_cache(folder: Path) -> StackCache:
    """Open the cache in a folder. Raises EngineError if it is missing, damaged, empty or of another format."""
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text())
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}, this version reads {FORMAT}")
        entries = tuple(_entry(item) for item in index["stacks"])
        targets = tuple(str(name) for name in index["targets"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        advice = f"make one with `livemef lab label DIR -o {folder}`"
        reason = error.strerror if isinstance(error, OSError) else f"damaged ({error!r})"
        raise EngineError(f"training cache {path}: {reason}; {advice}") from error
    if not entries:
        raise EngineError(f"training cache {path}: holds no stacks; make one with `livemef lab label DIR -o {folder}`")
    return StackCache(folder, targets, entries)


def _entry(item: Mapping[str, Any]) -> Stack:
    frames, evs = tuple(int(frame) for frame in item["frames"]), tuple(float(ev) for ev in item["evs"])
    if len(frames) < 2 or len(frames) != len(evs):
        raise ValueError(f"{item['file']}: {len(frames)} frames, {len(evs)} evs")
    return Stack(str(item["file"]), str(item["scene"]), str(item["group"]), frames, evs)


def write_stack(folder: Path, file: str, planes: Sequence[NDArray[np.float32]]) -> None:
    """Write one stack's planes (exposures, then targets; H x W float32, L*/100 in 0..1) as `file`, atomically."""
    codes = np.rint(np.clip(np.stack(planes), 0.0, 1.0) * FULL).astype(np.uint16)
    partial = folder / f"{file}.partial"
    with partial.open("wb") as stream:
        np.save(stream, codes)
    os.replace(partial, folder / file)


def write_index(folder: Path, targets: Sequence[str], entries: Sequence[Stack]) -> None:
    """Write index.json, atomically. Write it last: a folder without an index is not a cache."""
    index = {"format": FORMAT, "targets": list(targets), "stacks": [asdict(entry) for entry in entries]}
    partial = folder / "index.json.partial"
    partial.write_text(json.dumps(index, indent=1))
    os.replace(partial, folder / "index.json")
