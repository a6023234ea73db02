"""Cache of TensorRT engines on disk. An engine is native code, so only engines that this user built are loaded.

The folder belongs to the user and nobody else can write to it. A JSON note beside each engine holds what it was built
from and its SHA-256; an engine that does not match its note is deleted, and the caller builds it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from livemef.engine.errors import EngineError

Facts = Mapping[str, Any]


def default_folder() -> Path:
    """livemef/engines in the user's cache folder (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "livemef" / "engines"


def key_of(facts: Facts) -> str:
    """File name of an engine without suffix: SHA-256 (hex) of all that it depends on, as JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class EngineCache:
    """The engines in one folder (None: `default_folder`), which is created with access for its owner only.

    Raises EngineError if it cannot be created, is another user's, or others can write to it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(self.folder)
        except OSError as error:
            raise EngineError(
                f"engines cannot be kept in {self.folder}: {error.strerror}; set XDG_CACHE_HOME"
            ) from error

    def load(self, facts: Facts) -> bytes | None:
        """The serialized engine built from these facts; None if there is none. A damaged one is deleted."""
        engine, note = self._paths(facts)
        try:
            _refuse_foreign(engine)
            _refuse_foreign(note)
            written, data = json.loads(note.read_text()), engine.read_bytes()
            if written["facts"] == dict(facts) and written["sha256"] == hashlib.sha256(data).hexdigest():
                return data
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.forget(facts)
            if isinstance(error, PermissionError):
                raise EngineError(f"engine {engine}: cannot be read; delete it") from error
            return None
        self.forget(facts)
        return None

    def store(self, facts: Facts, engine: bytes) -> Path:
        """Write an engine and its note, atomically. Returns the engine's file. Raises EngineError."""
        path, note = self._paths(facts)
        note.unlink(missing_ok=True)  # an engine without a note is not loaded
        self._write(path, engine)
        written = {"facts": dict(facts), "sha256": hashlib.sha256(engine).hexdigest()}
        self._write(note, json.dumps(written, indent=1).encode())
        return path

    def forget(self, facts: Facts) -> None:
        """Delete an engine."""
        for path in self._paths(facts):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def timings(self, facts: Facts) -> bytes:
        """The builder's timing cache from earlier builds on this device with this TensorRT; b"" if there is none."""
        try:
            path = self._timings_path(facts)
            _refuse_foreign(path)
            return path.read_bytes()
        except OSError:
            return b""

    def store_timings(self, facts: Facts, timings: bytes) -> None:
        """Write the builder's timing cache for the next build."""
        self._write(self._timings_path(facts), timings)

    def _timings_path(self, facts: Facts) -> Path:
        return self.folder / f"{key_of(facts)}.timings"

    def _paths(self, facts: Facts) -> tuple[Path, Path]:
        name = key_of(facts)
        return self.folder / f"{name}.engine", self.folder / f"{name}.json"

    def _write(self, path: Path, data: bytes) -> None:
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(data)
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise EngineError(f"{path}: cannot be written ({error.strerror}); set XDG_CACHE_HOME") from error


def _refuse_foreign(path: Path) -> None:
    """Raise EngineError unless `path` is this user's and nobody else can write to it."""
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise EngineError(
            f"{path} is not yours alone to write: an engine is native code and is only loaded from where nobody else "
            f"can put one; chmod 700 it, or set XDG_CACHE_HOME to a folder of your own"
        )
