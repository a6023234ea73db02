"""A second copy of every stored object on another disk: copied, read back and compared, in a thread of its own.

The ledger says what has been copied. A disk that is missing holds nothing up: what waits for it is tried again.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path

from livemef.tools.field.background import lower_priority
from livemef.tools.field.bag import bag_problem, commit, sync_tree

STAGING = ".staging"
MANIFEST = "manifest-sha512.txt"
RETRY_S = 5.0


class SecondCopy:
    """Copies bags below a folder. `outcomes` are taken by the session's own thread."""

    def __init__(self, root: Path, retry_s: float = RETRY_S) -> None:
        """root: the folder on the other disk; it need not be there yet."""
        self._root, self._retry_s = root, retry_s
        self._device = _device(root)
        self._waiting: deque[Path] = deque()
        self._outcomes: queue.Queue[tuple[Path, str]] = queue.Queue()
        self._told = ""
        self._changed = threading.Condition()
        self._ending_s: float | None = None
        self._thread = threading.Thread(target=self._work, name="second copy", daemon=True)
        self._thread.start()

    def put(self, bag: Path) -> None:
        """Have a stored bag copied, soon."""
        with self._changed:
            self._waiting.append(bag)
            self._changed.notify()

    @property
    def behind(self) -> int:
        """How many bags wait for their copy."""
        return len(self._waiting)

    @property
    def free_bytes(self) -> int | None:
        """Space left there; None while the disk is missing."""
        try:
            return None if self._missing() else shutil.disk_usage(self._root).free
        except OSError:
            return None

    def outcomes(self) -> list[tuple[Path, str]]:
        """What has been done since the last call: bag, and "" or why it could not be copied.

        Why is said once, until another bag is copied or the reason changes.
        """
        done = []
        with suppress(queue.Empty):
            while True:
                done.append(self._outcomes.get_nowait())
        return done

    def close(self, limit_s: float) -> None:
        """Finish what can be done, for at most so long; what the disk does not take is not tried again."""
        with self._changed:
            self._ending_s = time.monotonic() + limit_s
            self._changed.notify()
        self._thread.join(limit_s)

    def _work(self) -> None:
        lower_priority()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending_s is not None)
                if not self._waiting or (self._ending_s is not None and time.monotonic() > self._ending_s):
                    return
                bag = self._waiting[0]
            problem = self._copy(bag)
            if not problem or problem != self._told:
                self._outcomes.put((bag, problem))
            self._told = problem
            with self._changed:
                self._waiting.popleft()
                if problem:
                    self._waiting.append(bag)
                    if self._ending_s is not None:
                        return
                    self._changed.wait_for(lambda: self._ending_s is not None, self._retry_s)

    def _missing(self) -> str:
        device = _device(self._root)
        if device is None:
            return f"{self._root} is not there"
        if self._device is None:
            self._device = device
        return "" if device == self._device else f"{self._root} is on another disk than before: is that one mounted?"

    def _copy(self, bag: Path) -> str:
        session = self._root / bag.parent.parent.name
        place = session / bag.parent.name / bag.name
        if problem := self._missing():
            return problem
        staging = session / STAGING / f"{bag.name}-{uuid.uuid4().hex[:8]}"
        try:
            if place.exists():
                return _difference(bag, place)
            staging.parent.mkdir(parents=True, exist_ok=True)
            for left in staging.parent.glob(f"{bag.name}-????????"):  # of a copy that a crash cut off
                shutil.rmtree(left)
            place.parent.mkdir(exist_ok=True)
            shutil.copytree(bag, staging)
            sync_tree(staging)
            forget_pages(staging)
            if problem := _difference(bag, staging):
                return problem
            commit(staging, place)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            return f"{place}: {error.strerror or error}"
        except shutil.Error as error:
            shutil.rmtree(staging, ignore_errors=True)
            return f"{place}: {error.args[0][0][2]}"
        return ""


def _difference(bag: Path, copy: Path) -> str:
    """How a copy, read back from its disk, differs from what it is a copy of; "" = not at all."""
    if problem := bag_problem(copy):
        return f"{copy}: was not read back as it was written: {problem}"
    if (bag / MANIFEST).read_bytes() != (copy / MANIFEST).read_bytes():
        return f"{copy}: is another object of this name; nothing is overwritten"
    return ""


def _device(root: Path) -> int | None:
    try:
        return root.stat().st_dev if root.is_dir() else None
    except OSError:
        return None


def forget_pages(folder: Path) -> None:
    """Have the files read back from the disk, not from memory. To be called after they are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
