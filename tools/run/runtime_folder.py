"""A folder for one run's sockets, which no other user may enter; gone when the run is, however it ended.

A run that was killed leaves its folder behind, and the next one removes it: each folder holds a locked file, and the
kernel ends the lock with the process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from livemef.fusion.stream.local_runs import LOCK, PREFIX, base_folder


@contextmanager
def runtime_folder(base: Path | None = None) -> Iterator[Path]:
    """A new folder of mode 0700 in `base`, removed at the end. None: $XDG_RUNTIME_DIR where it is ours, else the
    folder for temporary files.
    """
    base = base or base_folder()
    _remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    lock = os.open(folder / f"{LOCK}.new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / f"{LOCK}.new").rename(folder / LOCK)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(base: Path) -> None:
    for folder in base.glob(f"{PREFIX}*"):
        try:
            if folder.lstat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # another user's, or one that is just being made
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its run lives
            pass
        finally:
            os.close(lock)
