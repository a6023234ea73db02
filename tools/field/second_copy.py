"""A second copy of every stored object on another disk: copied, read back and compared, in a thread of its own.

The ledger says what has been copied. A disk that is missing holds nothing up.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import uuid
from pathlib import Path

from livemef.tools.field.bag import bag_problem, commit, sync_tree

STAGING = ".staging"


class SecondCopy:
    """Copies bags of one session below a folder. `outcomes` are taken by the session's own thread."""

    def __init__(self, root: Path, session: str) -> None:
        """root: the folder on the other disk; it need not be there yet."""
        self._root, self._session = root, session
        self._waiting: queue.Queue[Path | None] = queue.Queue()
        self._outcomes: queue.Queue[tuple[Path, str]] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def put(self, bag: Path) -> None:
        """Have a stored bag copied, soon."""
        self._waiting.put(bag)

    def outcomes(self) -> list[tuple[Path, str]]:
        """What has been done since the last call: bag, and "" or why it could not be copied."""
        done = []
        while not self._outcomes.empty():
            done.append(self._outcomes.get())
        return done

    def close(self, limit_s: float) -> None:
        """Finish what waits, for at most so long."""
        self._waiting.put(None)
        self._thread.join(limit_s)

    def _work(self) -> None:
        while (bag := self._waiting.get()) is not None:
            self._outcomes.put((bag, self._copy(bag)))

    def _copy(self, bag: Path) -> str:
        place = self._root / self._session / bag.parent.name / bag.name
        if not self._root.is_dir():
            return f"{self._root} is not there"
        if place.exists():
            return bag_problem(place)
        staging = self._root / self._session / STAGING / f"{bag.name}-{uuid.uuid4().hex[:8]}"
        try:
            staging.parent.mkdir(parents=True, exist_ok=True)
            place.parent.mkdir(exist_ok=True)
            shutil.copytree(bag, staging)
            sync_tree(staging)
            _forget_pages(staging)
            if problem := bag_problem(staging):
                return f"{place}: was not read back as it was written: {problem}"
            commit(staging, place)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            return f"{place}: {error.strerror}"
        return ""


def _forget_pages(folder: Path) -> None:
    """Have the files read back from the disk, not from memory. To be called after they are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
