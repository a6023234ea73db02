"""The cache of training pairs, written by `livemef lab label` and read by training. It holds lightness planes only.

A folder with index.json and one .npy a pair: uint16 [planes, height, width], 65535 = L* of 100, planes as the
index names them: dark, bright, then the targets.
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

FORMAT = 1
FULL = 65535.0
INPUT_PLANES = ("dark", "bright")


@dataclass(frozen=True)
class PairEntry:
    """One pair of the cache. file: its .npy file. group: pairs of one group show the same place, and all of them go
    into training or all into validation. frames: indices of its exposures in the scene. ev: estimated gap in stops.
    """

    file: str
    scene: str
    group: str
    frames: tuple[int, int]
    ev: float


@dataclass(frozen=True)
class PairCache:
    """An open cache. planes: names of the planes ("dark", "bright", targets), in the order of the files."""

    folder: Path
    planes: tuple[str, ...]
    entries: tuple[PairEntry, ...]

    def load(self, entry: PairEntry) -> NDArray[np.uint16]:
        """The pair's planes, uint16 [planes, height, width], mapped from the file. Raises EngineError."""
        path = self.folder / entry.file
        try:
            planes: NDArray[np.uint16] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise EngineError(
                f"training pair {path}: cannot be read ({error}); run `livemef lab label` again"
            ) from error
        if planes.dtype != np.uint16 or planes.ndim != 3 or planes.shape[0] != len(self.planes):
            raise EngineError(
                f"training pair {path}: {planes.dtype} {planes.shape}, not a pair; run `livemef lab label` again"
            )
        return planes

    def split(self, validation_share: float, seed: int) -> tuple[tuple[PairEntry, ...], tuple[PairEntry, ...]]:
        """(training, validation) entries, split by groups at random from `seed`; validation gets a share of
        `validation_share` (0..1) of the groups, at least one.
        """
        groups = sorted({entry.group for entry in self.entries})
        count = max(1, round(validation_share * len(groups)))
        held_out = set(np.random.default_rng(seed).permutation(groups)[:count].tolist())
        training = tuple(entry for entry in self.entries if entry.group not in held_out)
        return training, tuple(entry for entry in self.entries if entry.group in held_out)


def open_cache(folder: Path) -> PairCache:
    """Open the cache in a folder. Raises EngineError if it is missing, damaged, empty or of another format."""
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text())
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}, this version reads {FORMAT}")
        entries = tuple(_entry(item) for item in index["pairs"])
        planes = tuple(str(name) for name in index["planes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        advice = f"make one with `livemef lab label DIR -o {folder}`"
        reason = error.strerror if isinstance(error, OSError) else f"damaged ({error!r})"
        raise EngineError(f"training cache {path}: {reason}; {advice}") from error
    if planes[:2] != INPUT_PLANES or not entries:
        raise EngineError(f"training cache {path}: holds no pairs; make one with `livemef lab label DIR -o {folder}`")
    return PairCache(folder, planes, entries)


def _entry(item: Mapping[str, Any]) -> PairEntry:
    frames = (int(item["frames"][0]), int(item["frames"][1]))
    return PairEntry(str(item["file"]), str(item["scene"]), str(item["group"]), frames, float(item["ev"]))


def write_pair(folder: Path, file: str, planes: Sequence[NDArray[np.float32]]) -> None:
    """Write one pair's planes (H x W float32, L*/100 in 0..1) as `file` in `folder`, atomically."""
    codes = np.rint(np.clip(np.stack(planes), 0.0, 1.0) * FULL).astype(np.uint16)
    partial = folder / f"{file}.partial"
    with partial.open("wb") as stream:
        np.save(stream, codes)
    os.replace(partial, folder / file)


def write_index(folder: Path, targets: Sequence[str], entries: Sequence[PairEntry]) -> None:
    """Write index.json, atomically. Write it last: a folder without an index is not a cache."""
    index = {"format": FORMAT, "planes": [*INPUT_PLANES, *targets], "pairs": [asdict(entry) for entry in entries]}
    partial = folder / "index.json.partial"
    partial.write_text(json.dumps(index, indent=1))
    os.replace(partial, folder / "index.json")
