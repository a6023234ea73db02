"""The runs of this user on this machine: each has a folder that nobody else may enter."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

PREFIX = "livemef-run-"
LOCK = "lock"
DESCRIPTION, TOKEN, SOCKET = "run.json", "control.token", "control.sock"
"""Files of a run's folder: what it is; its control token; its control socket."""
LARGEST_BYTES = 1 << 16


@dataclass(frozen=True)
class LocalRun:
    """page: URL of its page, None = it has none."""

    folder: Path
    pid: int
    page: str | None
    camera: str

    @property
    def control(self) -> str:
        """ZeroMQ address of its control socket."""
        return f"ipc://{self.folder / SOCKET}"

    def page_with_token(self) -> str | None:
        """URL that makes a browser one that may control; None = the run has no page. Raises OSError if it has ended."""
        return None if self.page is None else f"{self.page}?token={(self.folder / TOKEN).read_text().strip()}"


def base_folder() -> Path:
    """Where folders of runs are made: $XDG_RUNTIME_DIR where it is ours alone, else the folder for temporary files."""
    session_folder = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        status = os.stat(session_folder)
    except (OSError, ValueError):
        return Path(tempfile.gettempdir())
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    short = len(session_folder) < 60  # a socket's path is short
    return Path(session_folder) if ours and short else Path(tempfile.gettempdir())


def local_runs(base: Path | None = None) -> list[LocalRun]:
    """The runs that live, oldest first."""
    found = []
    for folder in (base or base_folder()).glob(f"{PREFIX}*"):
        run = _read(folder)
        if run is not None:
            found.append((folder.stat().st_mtime, run))
    return [run for _, run in sorted(found, key=lambda one: one[0])]


def _read(folder: Path) -> LocalRun | None:
    """The run of a folder; None if it is another user's, or its run is over."""
    try:
        if folder.lstat().st_uid != os.getuid() or not _is_locked(folder / LOCK):
            return None
        path = folder / DESCRIPTION
        if path.stat().st_size > LARGEST_BYTES:
            return None
        values = json.loads(path.read_text(encoding="utf-8"))
        return LocalRun(folder, int(values["pid"]), values["page"], str(values["camera"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_locked(path: Path) -> bool:
    """The kernel ends a lock with its process."""
    lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
