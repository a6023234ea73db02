"""What has happened lately, for all who listen: numbered, so that who was away gets what was missed."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any

KEPT = 256


@dataclass(frozen=True)
class Event:
    """id: `LIFE-NUMBER`; LIFE is new with each start of the gate."""

    id: str
    event: str
    data: dict[str, Any]

    def as_sse(self) -> bytes:
        """As text/event-stream has it."""
        return f"id: {self.id}\nevent: {self.event}\ndata: {json.dumps(self.data)}\n\n".encode()


class EventLog:
    """The newest KEPT events. For one asyncio loop."""

    def __init__(self) -> None:
        self._life = secrets.token_hex(4)
        self._count = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()

    @property
    def last_id(self) -> str:
        """Id of the newest event, or of none."""
        return f"{self._life}-{self._count}"

    def add(self, event: str, data: dict[str, Any]) -> None:
        """Add an event, and wake all who wait."""
        self._count += 1
        self._kept.append(Event(self.last_id, event, data))
        self._changed.set()
        self._changed = asyncio.Event()

    def after(self, known: str) -> list[Event] | None:
        """Events since the one with that id; None if they are no longer, or were never, known here."""
        life, _, number = known.rpartition("-")
        if life != self._life or not number.isdecimal() or len(number) > 12:
            return None
        missed = self._count - int(number)
        if missed < 0 or missed > len(self._kept):
            return None
        return list(self._kept)[len(self._kept) - missed :]

    async def wait(self, known: str, timeout_s: float) -> None:
        """Wait until there is an event after `known`, `timeout_s` at most."""
        if self.last_id == known:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), timeout_s)
            except asyncio.TimeoutError:
                return
