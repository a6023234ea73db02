"""What has happened lately, for all who listen: numbered, so that who was away gets what was missed."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any

KEPT = 256
STATES = ("session",)
"""Events that hold a whole state: only the newest is kept, and who begins to listen gets it at once."""


@dataclass(frozen=True)
class Event:
    """id: `LIFE-NUMBER`; LIFE is new with each start of the gate."""

    id: str
    event: str
    data: dict[str, Any]

    def as_sse(self, with_id: bool = True) -> bytes:
        """As text/event-stream has it."""
        number = f"id: {self.id}\n" if with_id else ""
        return f"{number}event: {self.event}\ndata: {json.dumps(self.data)}\n\n".encode()


class EventLog:
    """The newest KEPT events, and of STATES the newest. For one asyncio loop."""

    def __init__(self) -> None:
        self._life = secrets.token_hex(4)
        self._count = 0
        self._kept: deque[tuple[int, Event]] = deque()
        self._states: dict[str, tuple[int, Event]] = {}
        self._forgotten = 0
        """Number of the newest event that is no longer kept, states apart."""
        self._changed = asyncio.Event()

    @property
    def last_id(self) -> str:
        """Id of the newest event, or of none."""
        return f"{self._life}-{self._count}"

    def add(self, event: str, data: dict[str, Any]) -> None:
        """Add an event, and wake all who wait."""
        self._count += 1
        entry = self._count, Event(self.last_id, event, data)
        if event in STATES:
            self._states[event] = entry
        else:
            self._kept.append(entry)
            if len(self._kept) > KEPT:
                self._forgotten, _ = self._kept.popleft()
        self._changed.set()
        self._changed = asyncio.Event()

    def after(self, known: str) -> list[Event] | None:
        """Events since the one with that id; None if they are no longer, or were never, known here."""
        life, _, number = known.rpartition("-")
        if life != self._life or not number.isdecimal() or len(number) > 12:
            return None
        if not self._forgotten <= int(number) <= self._count:
            return None
        entries = sorted((*self._kept, *self._states.values()), key=lambda entry: entry[0])
        return [event for count, event in entries if count > int(number)]

    def states(self) -> list[Event]:
        """The newest event of each of STATES, for who begins to listen."""
        return [event for _, event in sorted(self._states.values(), key=lambda entry: entry[0])]

    async def wait(self, known: str, timeout_s: float) -> None:
        """Wait until there is an event after `known`, `timeout_s` at most."""
        if self.last_id == known:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), timeout_s)
            except asyncio.TimeoutError:
                return
