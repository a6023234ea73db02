"""A session of field capture on disk: one rig, lamp and plan; objects are stored in it whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import tomlkit

from livemef.tools.exits import UserError
from livemef.tools.field.bag import commit, make_bag, sync_folder
from livemef.tools.field.ids import folder_name, next_name
from livemef.tools.field.ledger import Ledger

SETTINGS, LEDGER = "session.toml", "session.jsonl"
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
            raise UserError(f"{folder}: another livemef shoot has this session open") from None
        self.ledger = Ledger(folder / LEDGER)
        self.recovered = self._recover()

    def _recover(self) -> int:
        """Move what was being written aside, and enter objects that were stored but not yet in the ledger."""
        changed = 0
        for left in sorted((self.folder / STAGING).iterdir()):
            (self.folder / ABANDONED).mkdir(exist_ok=True)
            left.rename(self.folder / ABANDONED / left.name)
            changed += 1
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

    def store(
        self, object_id: str, retake: bool, write: Callable[[Path, str], Mapping[str, str]], kind: str = OBJECTS
    ) -> Path:
        """Store an object as one bag: `write` puts its files into a folder and returns what bag-info shall say.

        write: called with the folder to fill and the name that files begin with. Returns the bag's place.
        Raises UserError if the object is there already (and this is no retake), or whatever `write` raises: then
        nothing but an abandoned folder is left.
        """
        name = next_name(object_id, self.stored(kind), retake)
        staging = self.folder / STAGING / f"{name}-{uuid.uuid4().hex[:8]}"
        staging.mkdir()
        try:
            info = write(staging, name)
            make_bag(staging, {"External-Identifier": object_id, "Bag-Group-Identifier": self.folder.name, **info})
            place = self.folder / kind / name
            commit(staging, place)
        except BaseException:
            if staging.exists():
                (self.folder / ABANDONED).mkdir(exist_ok=True)
                staging.rename(self.folder / ABANDONED / staging.name)
            raise
        again = name != folder_name(object_id)
        self.ledger.append("stored", kind=kind, object=object_id, folder=name, time=utc_now(), retake=again)
        return place

    def free_bytes(self) -> int:
        """Space left on the session's disk."""
        return shutil.disk_usage(self.folder).free

    def close(self) -> None:
        """Enter the end and give the folder free."""
        self.ledger.append("closed", time=utc_now(), objects=len(self.stored()))
        os.fsync(self._lock.fileno())
        self._lock.close()
