"""The ledger of a session: one JSON line for each event, on the disk before the next thing happens, in a hash chain.

Each line holds in "prev" the SHA-256 of the line before, so that a line that was changed or taken out shows.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from livemef.tools.exits import UserError

FIRST = "0" * 64


class Ledger:
    """Appends events to session.jsonl. What a power cut left of a line is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        """Raises UserError if the chain is broken."""
        self._path = path
        if path.exists():
            _cut_half_line(path)
        self.events = read_ledger(path) if path.exists() else []
        self._last = _last_digest(path)

    def append(self, event: str, **values: Any) -> None:
        """Add an event, with its time; it is on the disk when this returns. Raises OSError."""
        entry = {"event": event, **values, "prev": self._last}
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.events.append(entry)
        self._last = hashlib.sha256(line).hexdigest()


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The events of whole lines. Raises UserError, naming the line, if the chain is broken."""
    events, previous = [], FIRST
    for number, line in enumerate(_whole_lines(path), 1):
        try:
            event = json.loads(line)
            prev = event["prev"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(f"{path}, line {number}: is no event; the ledger was changed or damaged") from None
        if prev != previous:
            raise UserError(f"{path}, line {number}: does not follow the line before: the ledger was changed")
        previous = hashlib.sha256(line).hexdigest()
        events.append(event)
    return events


def _whole_lines(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1].splitlines()


def _last_digest(path: Path) -> str:
    lines = _whole_lines(path) if path.exists() else []
    return hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST


def _cut_half_line(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
