"""Receives frames from the capture process, groups them into brackets, and holds the next ones for fusion.

Messages are received by whoever waits for brackets. While nobody does, which is during a fusion, a thread receives them
at once, so that ring slots are released then, too. It sleeps while a bracket is waited for: to hand each message from
one thread to the other would make every picture later (.1 to .2 ms where caches are cold).
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.frame import Bracket, Mosaic, Pixels
from livemef.capture.transport.frame_json import mosaic_from_dict
from livemef.capture.transport.record_row import record_from_row
from livemef.capture.transport.ring import Ring
from livemef.capture.transport.slot_link import Caller, LinkClient
from livemef.fusion.backlog import FEW_WAITING, MOST_WAITING, Backlog

SLOTS_OF_OTHERS = 3
"""Slots of the ring for the next frame, and two that stay with the camera."""

TURN_S = 2.0
"""Longest wait for a message. `close` does not wait for its end."""


@dataclass(frozen=True)
class Delivery:
    """A bracket with its pixels (BGR, H x W x 3, dark to bright), views of ring slots that are valid until `give_back`.

    counters: of the capture process, when the newest frame was sent. mosaics: the raw frames, views likewise, where
    the capture process was asked for them; else all None.
    """

    bracket: Bracket
    pixels: tuple[Pixels, ...]
    slots: tuple[int, ...]
    counters: Mapping[str, int]
    mosaics: tuple[Mosaic | None, ...]


class Inbox:
    """A connection to the capture process, until that ends or restarts."""

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
        self._grouper = BracketGrouper[int](self._mode)
        self._holders: Counter[int] = Counter()
        self._mosaics: dict[int, Mosaic] = {}
        self._pictures: dict[int, Pixels] = {}
        """Views of the slots that were used so far."""
        self._lock = threading.Lock()
        self._slots = int(greeting["slots"])
        self._backlog = Backlog[Delivery]()
        self._superseded = 0
        self._matched: set[int] = set()
        """Slots whose frames have been in a bracket."""
        self._unmatched = 0
        self._closing = False
        self._attended = False
        """Whether `wait` is looking after the messages."""
        self._fault: Exception | None = None
        self.ended = False
        """The source has ended: no frame follows."""
        self.lost = False
        """The connection broke: the capture process has ended or crashed."""
        self._unattended = select.epoll()
        """Has the link while the thread is to look after it."""
        self._unattended.register(client.fileno(), select.EPOLLIN)
        self._thread = threading.Thread(target=self._receive_unattended, name="inbox", daemon=True)
        self._thread.start()

    @classmethod
    def connect(cls, caller: Caller, mode: str, timeout_s: float) -> Inbox | None:
        """Connect to the capture process; None if it is not there yet. Raises CaptureError for an unsafe ring."""
        client = caller.connect(timeout_s)
        return None if client is None else cls(client, mode)

    def group_by(self, mode: str) -> None:
        """Group frames by another bracket mode from the next frame on; frames that wait for others are dropped."""
        with self._lock:
            if mode != self._mode:
                self._let_go(self._grouper.clear())
                self._mode = cast(Literal["sliding", "disjoint"], mode)
                self._grouper = BracketGrouper[int](self._mode)

    def memory(self) -> NDArray[np.uint8]:
        """The ring's memory, uint8, in which all pixels lie."""
        return self._ring.memory()

    @property
    def waiting(self) -> bool:
        """Whether there is a bracket to take."""
        return len(self._backlog) > 0

    def wait(self, other: int, timeout_s: float) -> None:
        """Wait up to `timeout_s` until there may be something to take, or `other`, a file descriptor, is readable."""
        with self._lock:
            if self.waiting or self.ended or self.lost or self._fault is not None:
                return
            self._attended = True
            self._unattended.unregister(self._client.fileno())
        poll = select.poll()
        poll.register(self._client.fileno(), select.POLLIN)
        poll.register(other, select.POLLIN)
        there = dict(poll.poll(timeout_s * 1000))
        with self._lock:
            if self._client.fileno() in there:
                self._receive()
            self._attended = False
            self._unattended.register(self._client.fileno(), select.EPOLLIN)

    def take(self) -> Delivery | None:
        """The bracket whose turn it is (see Backlog); None where none waits, see `wait`.

        Pass it to `give_back` when its pixels are no longer needed. Raises what the receiving thread failed with.
        """
        with self._lock:
            if self._fault is not None:
                raise self._fault
            delivery, overtaken = self._backlog.take(time.monotonic_ns())
            self._drop_brackets(overtaken)
            return delivery

    def take_superseded(self) -> int:
        """Number of brackets that were dropped for a newer one before they were taken, since the last call."""
        with self._lock:
            count, self._superseded = self._superseded, 0
            return count

    def take_unmatched(self) -> int:
        """Number of frames that were let go without having been in a bracket, since the last call."""
        with self._lock:
            count, self._unmatched = self._unmatched, 0
            return count

    def give_back(self, delivery: Delivery) -> None:
        """Release the slots of a delivery; its pixels must no longer be used."""
        with self._lock:
            self._backlog.done(time.monotonic_ns())
            self._drop(delivery.slots)
            if self._stepped:
                self._client.send({"done": True})

    def close(self) -> None:
        """Close the connection. The pixels of all deliveries must no longer be used."""
        self._closing = True
        self._client.interrupt()
        self._thread.join(timeout=2 * TURN_S)
        if not self._thread.is_alive():
            self._unattended.close()
        self._client.close()
        self._pictures.clear()
        self._ring.close()

    def _receive_unattended(self) -> None:
        while not self._over():
            self._unattended.poll(TURN_S)
            with self._lock:
                if not self._attended and not self._over():
                    self._receive()

    def _over(self) -> bool:
        return self._closing or self.ended or self.lost or self._fault is not None

    def _receive(self) -> None:
        """Take in the next message, if there is one; under the lock."""
        try:
            message = self._client.receive()
            if message is not None:
                self._take_in(message)
        except ConnectionError:
            self.lost = True
        except Exception as error:  # raised again by `take`
            self._fault = error

    def _take_in(self, message: Mapping[str, Any]) -> None:
        if message.get("end"):
            self.ended = True
            return
        record, slot = record_from_row(message["record"]), int(message["slot"])
        self._holders[slot] = 1
        if "mosaic" in message:
            self._mosaics[slot] = self._mosaic(message["mosaic"], slot)
        grouped = self._grouper.push(record, slot)
        if grouped.bracket is None:
            self._let_go(grouped.released)
            if self._stepped:
                self._client.send({"done": True})
            return
        for held in grouped.payloads:
            self._holders[held] += 1
        self._matched.update(grouped.payloads)
        pixels = tuple(self._picture(held) for held in grouped.payloads)
        mosaics = tuple(self._mosaics.get(held) for held in grouped.payloads)
        delivery = Delivery(grouped.bracket, pixels, grouped.payloads, message["counters"], mosaics)
        self._backlog.most = self._most_waiting(len(pixels))
        self._drop_brackets(self._backlog.add(delivery, time.monotonic_ns()))
        self._let_go(grouped.released)

    def _picture(self, slot: int) -> Pixels:
        known = self._pictures.get(slot)
        if known is None:
            known = self._pictures[slot] = self._ring.view(slot, self._shape, self._dtype)
        return known

    def _mosaic(self, note: Mapping[str, Any], slot: int) -> Mosaic:
        offset = int(note["at"])
        return mosaic_from_dict(note, lambda shape, dtype: self._ring.view(slot, shape, dtype, offset))

    def _drop_brackets(self, overtaken: Iterable[Delivery]) -> None:
        for delivery in overtaken:
            self._superseded += 1
            self._drop(delivery.slots)

    def _let_go(self, released: Iterable[int]) -> None:
        """Drop what the grouper no longer holds. Where every second frame is lost, none of the others finds a mate."""
        released = tuple(released)
        self._unmatched += sum(slot not in self._matched for slot in released)
        self._drop(released)

    def _most_waiting(self, exposures: int) -> int:
        """Disjoint brackets share no frames: each that waits keeps as many slots as it has exposures. Of sliding
        ones each keeps one, beside those of the bracket under fusion and SLOTS_OF_OTHERS.
        """
        if self._mode == "disjoint":
            return 1
        return max(FEW_WAITING, min(MOST_WAITING, self._slots - exposures - SLOTS_OF_OTHERS))

    def _drop(self, slots: Iterable[int]) -> None:
        free = []
        for slot in slots:
            self._holders[slot] -= 1
            if self._holders[slot] <= 0:
                del self._holders[slot]
                self._mosaics.pop(slot, None)
                self._matched.discard(slot)
                free.append(slot)
        if free:
            self._client.send({"release": free})
