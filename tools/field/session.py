"""A session of field capture on disk: one rig, lamp and plan; objects are stored in it whole or not at all."""

from __future__ import annotations

import fcntl
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import tomlkit

from livemef.tools.exits import UserError
from livemef.tools.field.bag import PAYLOAD, commit, make_bag, sync_folder
from livemef.tools.field.ids import folder_name, next_name
from livemef.tools.field.ledger import Ledger

SETTINGS, LEDGER = "session.toml", "session.jsonl"
CLOSED = "closed"
OBJECTS, TARGETS, STAGING, ABANDONED = "objects", "targets", ".staging", ".abandoned"


def utc_now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def new_session(project: Path, rig: str, settings: Mapping[str, Any]) -> FieldSession:
    """Make a session's folder in a project and open it. settings: what stays fixed, written to session.toml."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = project / f"{stamp}-{re.sub(r'[^A-Za-z0-9._-]', '_', rig) or 'rig'}"
    try:
        folder.mkdir()
        (folder / OBJECTS).mkdir()
        (folder / TARGETS).mkdir()
        (folder / STAGING).mkdir()
        (folder / SETTINGS).write_text(tomlkit.dumps(dict(settings)), encoding="utf-8")
    except FileExistsError:
        raise UserError(f"{folder}: a session was opened there this second; try again") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from None
    sync_folder(folder)
    sync_folder(project)
    return FieldSession(folder)


def _by_whom(folder: Path) -> str:
    """The process that holds the lock, as far as the kernel says (proc_locks(5))."""
    try:
        inode = (folder / SETTINGS).stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
                return f" (process {fields[4]})"
    except (OSError, IndexError):
        pass
    return ""


def sessions_of(project: Path) -> list[Path]:
    """The sessions of a project, oldest first."""
    return sorted(path.parent for path in project.glob(f"*/{SETTINGS}"))


class FieldSession:
    """An open session: the one writer of its folder, which it locks; what a crash left behind is put in order first."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError if another process has it open, or its ledger was changed."""
        self.folder = folder
        self._lock: IO[bytes] = (folder / SETTINGS).open("rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UserError(f"{folder}: another livemef shoot has this session open{_by_whom(folder)}") from None
        try:
            self.ledger = Ledger(folder / LEDGER)
            self.recovered = self._put_aside() + self._enter_missing()
        except BaseException:
            self._lock.close()
            raise

    def _put_aside(self) -> int:
        """Move what was being written, and never came to its place, aside; how much that was."""
        changed = 0
        for left in sorted((self.folder / STAGING).iterdir()):
            (self.folder / ABANDONED).mkdir(exist_ok=True)
            left.rename(self.folder / ABANDONED / left.name)
            changed += 1
        return changed

    def _enter_missing(self) -> int:
        """Enter objects that were stored but are not in the ledger; how many there were."""
        changed = 0
        entered = {(event["kind"], event["folder"]) for event in self.ledger.events if event["event"] == "stored"}
        for kind in (OBJECTS, TARGETS):
            for name in self.stored(kind):
                if (kind, name) not in entered:
                    self.ledger.append("stored", kind=kind, folder=name, time=utc_now(), recovered=True)
                    changed += 1
        return changed

    def stored(self, kind: str = OBJECTS) -> list[str]:
        """Folders of the stored objects (or targets), by name."""
        return sorted(path.name for path in (self.folder / kind).iterdir() if not path.name.startswith("."))

    def not_copied(self) -> list[Path]:
        """Bags without a second copy, as the ledger has it."""
        events = self.ledger.events
        copied = {(event["kind"], event["folder"]) for event in events if event["event"] == "copied"}
        stored = [(event["kind"], event["folder"]) for event in events if event["event"] == "stored"]
        return [self.folder / kind / name for kind, name in stored if (kind, name) not in copied]

    def refuse_taken(self, object_id: str, retake: bool, part: str = "") -> None:
        """Raises UserError if the object is there already and this is no retake."""
        next_name(object_id, self.stored(), retake, part)

    def store(
        self,
        object_id: str,
        retake: bool,
        write: Callable[[Path, str], Mapping[str, str]],
        kind: str = OBJECTS,
        part: str = "",
    ) -> Path:
        """Store an object as one bag: `write` puts its files into a folder and returns what bag-info shall say.

        write: called with the folder to fill and the name that files begin with. part: what its folder's name ends
        with beside the id. Returns the bag's place.
        Raises UserError if the object is there already (and this is no retake), or whatever `write` raises: then
        nothing but an abandoned folder is left.
        """
        self._enter_missing()  # a full disk may have kept the last one out
        name = next_name(object_id, self.stored(kind), retake, part)
        staging = self.folder / STAGING / f"{name}-{uuid.uuid4().hex[:8]}"
        (staging / PAYLOAD).mkdir(parents=True)
        try:
            info = dict(write(staging / PAYLOAD, name))
            if name != folder_name(object_id) + part:
                info["Supersedes"] = "earlier takes of this object in this session"
            make_bag(staging, {"External-Identifier": object_id, "Bag-Group-Identifier": self.folder.name, **info})
            place = self.folder / kind / name
            commit(staging, place)
        except BaseException:
            if staging.exists():
                (self.folder / ABANDONED).mkdir(exist_ok=True)
                staging.rename(self.folder / ABANDONED / staging.name)
            raise
        again = name != folder_name(object_id) + part
        self.ledger.append("stored", kind=kind, object=object_id, folder=name, time=utc_now(), retake=again)
        return place

    def free_bytes(self) -> int:
        """Space left on the session's disk."""
        return shutil.disk_usage(self.folder).free

    def close(self) -> None:
        """Enter the end and give the folder free."""
        if not self.closed:
            self.ledger.append(CLOSED, time=utc_now(), objects=len(self.stored()))
        self._lock.close()

    @property
    def closed(self) -> bool:
        """Whether the session came to its end; second copies may still be made."""
        return any(event["event"] == CLOSED for event in self.ledger.events)


def is_locked(folder: Path) -> bool:
    """Whether a process has the session open."""
    with (folder / SETTINGS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
