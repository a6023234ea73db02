"""The ledger of a session: one JSON line for each event, on the disk before the next thing happens, in a hash chain.

Each line holds in "prev" the SHA-256 of the line before, so that a line that was changed or taken out shows. The last
lines are vouched for by a file beside it, NAME.sha256, which `sha256sum -c` reads too. A person who has looked at a
broken place can accept it: that is an event as well, and names the lines by their digests.

Both files are without a secret: they show what was damaged or changed carelessly, not who changes all of it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livemef.tools.exits import UserError
from livemef.tools.field.bag import sync_folder

FIRST = "0" * 64
ACCEPTED = "accepted"


@dataclass(frozen=True)
class _Break:
    """A line that does not follow the one before, or is no event. digests: of the line before and of this one."""

    line: int
    reason: str
    digests: tuple[str, str]


class Ledger:
    """Appends events to session.jsonl. What a power cut left of a line is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        """Raises UserError if the chain is broken."""
        self._path = path
        if path.exists():
            _cut_half_line(path)
        self.events = read_ledger(path) if path.exists() else []
        self._last = _last_digest(path)
        if path.exists() and _stated(path) != _sum(_whole_lines(path)):
            _state(path)  # it was ended before it came to that

    def append(self, event: str, **values: Any) -> None:
        """Add an event, with its time; it is on the disk when this returns. Raises OSError."""
        entry = {"event": event, **values, "prev": self._last}
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
        _append(self._path, line)
        self.events.append(entry)
        self._last = hashlib.sha256(line).hexdigest()


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The events of whole lines. Raises UserError, naming the line, if the chain is broken and nobody accepted it."""
    stated = _stated(path)  # before the ledger: another process may append meanwhile
    events, breaks = _read(path)
    accepted = {tuple(pair) for event in events if event["event"] == ACCEPTED for pair in event["digests"]}
    for one in breaks:
        if one.digests not in accepted:
            raise UserError(f"{path}, line {one.line}: {one.reason}; look at it, then livemef shoot verify --accept")
    if not _ends_as(path, stated):
        raise UserError(
            f"{path}: does not end as {_sum_file(path).name} says: its last lines were changed or are missing; look at "
            "it, then livemef shoot verify --accept"
        )
    return events


def accept_ledger(path: Path, time: str, operator: str) -> int:
    """Enter that a person has seen the ledger's broken places; how many there are. Raises OSError."""
    _cut_half_line(path)
    breaks = _read(path)[1]
    count = len(breaks) + (not _ends_as(path, _stated(path)))
    if count:
        digests = [list(one.digests) for one in breaks]
        entry = {"event": ACCEPTED, "time": time, "by": operator, "digests": digests, "prev": _last_digest(path)}
        _append(path, json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode())
    return count


def _append(path: Path, line: bytes) -> None:
    """Add a line, and state the new sum, or nothing: half a line that a full disk leaves is taken back."""
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(line + b"\n") != len(line) + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
            _state(path)
        except OSError:
            with suppress(OSError):
                os.truncate(path, before)
            raise


def _sum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _state(path: Path) -> None:
    """Write the sum of the ledger as it is, in the form of sha256sum(1). Raises OSError."""
    temporary = path.with_name(f".{path.name}.sha256")
    with temporary.open("wb") as file:
        file.write(f"{_sum(_whole_lines(path))}  {path.name}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(_sum_file(path))
    sync_folder(path.parent)


def _stated(path: Path) -> str:
    """The sum that is stated; "" if none is."""
    try:
        return _sum_file(path).read_text(encoding="ascii").split(maxsplit=1)[0]
    except (OSError, ValueError, IndexError):
        return ""


def _ends_as(path: Path, stated: str) -> bool:
    """Whether a sum is that of all lines, or of all but the last: its writer may have been ended in between."""
    lines = _whole_lines(path)
    return stated == _sum(lines) or (stated == _sum(lines[:-1]) if len(lines) > 1 else not stated)


def _sum(lines: list[bytes]) -> str:
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def _read(path: Path) -> tuple[list[dict[str, Any]], list[_Break]]:
    events, breaks, previous = [], [], FIRST
    for number, line in enumerate(_whole_lines(path), 1):
        digest, reason = hashlib.sha256(line).hexdigest(), ""
        try:
            event = json.loads(line)
            if event["prev"] != previous:
                reason = "does not follow the line before: the ledger was changed"
            _check(event)
            events.append(event)
        except (ValueError, KeyError, TypeError, RecursionError):
            reason = "is no event; the ledger was changed or damaged"
        if reason:
            breaks.append(_Break(number, reason, (previous, digest)))
        previous = digest
    return events, breaks


def _check(event: dict[str, Any]) -> None:
    """Raises TypeError for what is no event of ours."""
    texts = [event["event"], *(event[name] for name in ("kind", "folder") if event["event"] in ("stored", "copied"))]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    if event["event"] == ACCEPTED and not all(isinstance(text, str) for pair in event["digests"] for text in pair):
        raise TypeError


def _whole_lines(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]


def _last_digest(path: Path) -> str:
    lines = _whole_lines(path) if path.exists() else []
    return hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST


def _cut_half_line(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
