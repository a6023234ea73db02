"""Pictures in shared memory, the publisher's side: a ring of slots, and the notes that name them (docs/wire.md).

The memory is a memfd without a name, as the camera's ring is: a reader opens it as /proc/PID/fd/FD, and the kernel
frees it with the last process that has it. Nobody waits for a reader: each slot has a generation (a seqlock), which
shows a reader that was too slow that its slot has been written again. A slot that a reader has leased (see `leases`) is
passed over until it is given back.
"""

from __future__ import annotations

import json
import os
import secrets

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.capture.transport.ring import Ring
from livemef.fusion.stream import leases
from livemef.fusion.stream.wire import EXPOSURE, FUSED

SHARED = "shm/"
"""What stands before a picture's topic where the message names shared memory instead of carrying the pixels."""

SLOTS, EXPOSURE_SLOTS = 8, 4
"""Of fused pictures, and of each exposure."""

TURNING = 5
"""Slots that are never on lease, and are written in turn. A reader may take so many frames less one to copy a picture:
130 ms at 30 frames/s. Exposures have fewer slots, and are not leased.
"""

HEAD_BYTES = 64
"""Before a slot's pixels: its generation, 64 bits, little-endian, and the segment's 16 bytes; the rest is zero."""


def may_share(topic: str) -> bool:
    """Whether pictures of that topic, or of all topics that begin with it, are offered in shared memory."""
    return topic == FUSED or topic.startswith(EXPOSURE)


class PictureRing:
    """Slots for pictures of `size` bytes. Raises CaptureError where the memory cannot be had."""

    def __init__(self, size: int, slots: int = SLOTS) -> None:
        self.size = size
        self._ring = Ring.create(slots, HEAD_BYTES + size)
        self._most_leased = max(0, slots - TURNING)
        self._segment = secrets.token_bytes(16)
        for slot in range(slots):
            self._ring.view(slot, (16,), np.uint8, 8)[:] = np.frombuffer(self._segment, np.uint8)
        # Views are made once: between a picture and its note each costs what a small array costs in cold caches.
        self._pixels: list[NDArray[np.uint8]] = [
            self._ring.view(slot, (size,), np.uint8, HEAD_BYTES) for slot in range(slots)
        ]
        self._marks = [self._ring.view(slot, (1,), "<u8") for slot in range(slots)]
        self._rooms: dict[int, Pixels] = {}
        """The slots as pictures, as they were asked for last."""
        self._generations = [0] * slots
        self._slot = slots - 1
        self._prepared = False
        self._locks = leases.lock_to_write(self._ring.fileno(), 0)  # are there such locks?
        leases.unlock(self._ring.fileno(), 0)
        self.prepare()

    def room(self, like: Pixels) -> Pixels | None:
        """The next slot as a picture of the shape and dtype of `like`: the same memory until `put`. None while readers
        have leased all others.
        """
        self.prepare()
        if not self._prepared:
            return None
        room = self._rooms.get(self._slot)
        if room is None or room.shape != like.shape or room.dtype != like.dtype:
            room = self._rooms[self._slot] = self._pixels[self._slot].view(like.dtype).reshape(like.shape)
        return room

    def put(self, payload: memoryview) -> bytes | None:
        """Offer a picture of the ring's size, which is copied unless it is of the array that `room` returned. Returns
        the note for its readers, JSON; None as for `room`. `prepare` is to be called when that has been sent.
        """
        self.prepare()
        if not self._prepared:
            return None
        given: object = payload.obj
        if given is not self._rooms.get(self._slot):
            self._pixels[self._slot][:] = np.frombuffer(payload, np.uint8)
        self._advance(self._slot)
        if self._locks:
            leases.unlock(self._ring.fileno(), self._offset(self._slot))
        self._prepared = False
        return self._note

    def prepare(self) -> None:
        """Go on to the next slot that is not leased, if there is one, unless that was done since the last picture.

        A slot is so marked almost a frame before anything is written there: whatever the order in which another core
        sees the two, it sees the mark long before the first new pixel.
        """
        if self._prepared:
            return
        slot = next((slot for slot in self._others() if self._taken_back(slot)), None)
        if slot is None:
            return
        self._prepared, self._slot = True, slot
        self._advance(slot)
        note = {
            "pid": os.getpid(),
            "fd": self._ring.fileno(),
            "segment": self._segment.hex(),
            "offset": self._offset(slot),
            "generation": self._generations[slot] + 1,
            "size": self.size,
            "lend": self._locks and self._leased() < self._most_leased,
        }
        self._note = json.dumps(note, separators=(",", ":")).encode()

    def _others(self) -> list[int]:
        """The slots but for the last picture's, the one that was written longest ago first."""
        return [(self._slot + step) % self._ring.slots for step in range(1, self._ring.slots)]

    def _offset(self, slot: int) -> int:
        return slot * self._ring.slot_bytes

    def _taken_back(self, slot: int) -> bool:
        """Whether nobody has leased the slot, and from now on nobody can."""
        return not self._locks or leases.lock_to_write(self._ring.fileno(), self._offset(slot))

    def _leased(self) -> int:
        """Number of slots that readers have leased."""
        return sum(leases.is_locked(self._ring.fileno(), self._offset(slot)) for slot in range(self._ring.slots))

    def _advance(self, slot: int) -> None:
        """From being written (odd) to readable (even), or back."""
        self._generations[slot] += 1
        self._marks[slot][0] = self._generations[slot]

    def close(self) -> None:
        """Let go of the memory; readers keep what they have mapped."""
        self._pixels.clear()
        self._marks.clear()
        self._rooms.clear()
        self._ring.close()
