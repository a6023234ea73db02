"""Receives frames from the capture process, groups them, and keeps the newest bracket for whoever fuses.

A thread of its own takes every message at once, so that slots go back even while a fusion is under way.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.frame import Bracket, Pixels
from livemef.capture.transport.frame_json import record_from_dict
from livemef.capture.transport.ring import Ring
from livemef.capture.transport.slot_link import Caller, LinkClient

TURN_S = 0.2


@dataclass(frozen=True)
class Delivery:
    """A bracket with its pixels, dark to bright, in ring slots that stay put until it is given back."""

    bracket: Bracket
    pixels: tuple[Pixels, ...]
    slots: tuple[int, ...]
    counters: Mapping[str, int]


class Inbox:
    """One connection to one life of the capture process."""

    def __init__(self, client: LinkClient, mode: str) -> None:
        greeting = client.greeting
        self._client = client
        try:
            self._ring = Ring.attach(client.ring_fd, greeting["slots"], greeting["slot_bytes"])
        except BaseException:
            os.close(client.ring_fd)
            client.close()
            raise
        self._shape, self._dtype = tuple(greeting["shape"]), greeting["dtype"]
        self._stepped = greeting["paced"] == "stepped"
        self._mode = cast(Literal["sliding", "disjoint"], mode)
        self._exposures = int(greeting["exposures"])
        self._grouper = BracketGrouper[int](self._exposures, self._mode)
        self._holders: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._newest: Delivery | None = None
        self._superseded = 0
        self._closing = False
        self._fault: Exception | None = None
        self.ended = False
        """The source has said that there is no more."""
        self.lost = False
        """The capture process is gone."""
        self._thread = threading.Thread(target=self._receive, name="inbox", daemon=True)
        self._thread.start()

    @classmethod
    def connect(cls, caller: Caller, mode: str, timeout_s: float) -> Inbox | None:
        """Connect to the capture process; None if it is not there yet. Raises CaptureError for a ring that is none."""
        client = caller.connect(timeout_s)
        return None if client is None else cls(client, mode)

    def memory(self) -> NDArray[np.uint8]:
        """The memory that all pixels lie in."""
        return self._ring.memory()

    def take(self, timeout_s: float) -> Delivery | None:
        """The newest bracket that nobody has taken; None after `timeout_s`. Give it back."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._fault or self.ended or self.lost, timeout_s)
            if self._fault is not None:
                raise self._fault
            delivery, self._newest = self._newest, None
            return delivery

    def take_superseded(self) -> int:
        """Brackets that a newer one replaced since the last call."""
        with self._changed:
            count, self._superseded = self._superseded, 0
            return count

    def give_back(self, delivery: Delivery) -> None:
        """The pixels of this delivery are no longer read."""
        with self._changed:
            self._drop(delivery.slots)
            if self._stepped:
                self._client.send({"done": True})

    def close(self) -> None:
        """End the connection. Pixels of deliveries must no longer be used."""
        self._closing = True
        self._thread.join(timeout=2 * TURN_S)
        self._client.close()
        self._ring.close()

    def _receive(self) -> None:
        try:
            while not self._closing and not self.ended:
                message = self._client.receive(TURN_S)
                if message is not None:
                    with self._changed:
                        self._take_in(message)
                        self._changed.notify_all()
        except ConnectionError:
            self._finish(lost=True)
        except Exception as error:  # handed to the thread that fuses
            self._finish(fault=error)

    def _finish(self, lost: bool = False, fault: Exception | None = None) -> None:
        with self._changed:
            self.lost, self._fault = lost, fault
            self._changed.notify_all()

    def _take_in(self, message: Mapping[str, Any]) -> None:
        if message.get("end"):
            self.ended = True
            return
        record, slot = record_from_dict(message["record"]), int(message["slot"])
        self._holders[slot] = 1
        grouped = self._grouper.push(record, slot)
        if grouped.bracket is None:
            self._drop(grouped.released)
            if self._stepped:
                self._client.send({"done": True})
            return
        for held in grouped.payloads:
            self._holders[held] += 1
        if self._newest is not None:
            self._superseded += 1
            self._drop(self._newest.slots)
        pixels = tuple(self._ring.view(held, self._shape, self._dtype) for held in grouped.payloads)
        self._newest = Delivery(grouped.bracket, pixels, grouped.payloads, message["counters"])
        self._drop(grouped.released)

    def _drop(self, slots: Iterable[int]) -> None:
        free = []
        for slot in slots:
            self._holders[slot] -= 1
            if self._holders[slot] <= 0:
                del self._holders[slot]
                free.append(slot)
        if free:
            self._client.send({"release": free})
