"""Who changed what: a log of JSON lines in this user's state folder."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

LARGEST_BYTES = 1 << 20
_LOG = logging.getLogger(__name__)


def state_folder() -> Path:
    """$XDG_STATE_HOME/livemef, or ~/.local/state/livemef."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "livemef"


class AuditLog:
    """Appends to `changes.jsonl`; a full one is kept as `changes.jsonl.1`. What cannot be written is only logged."""

    def __init__(self) -> None:
        self._warned = False

    def write(self, entry: dict[str, Any]) -> None:
        """Add an entry, with the time (Unix, s)."""
        try:
            path = state_folder() / "changes.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.exists() and path.stat().st_size > LARGEST_BYTES:
                path.replace(path.with_name("changes.jsonl.1"))
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
                file.write(json.dumps({"time": round(time.time(), 3), **entry}) + "\n")
        except (OSError, RuntimeError) as error:
            if not self._warned:
                _LOG.warning("changes are not logged: %s", error)
            self._warned = True
