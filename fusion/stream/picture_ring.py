"""Pictures in shared memory, the publisher's side: a ring of slots, and the notes that name them (docs/wire.md).

The memory is a memfd without a name, as the camera's ring is: a reader opens it as /proc/PID/fd/FD, and the kernel
frees it with the last process that has it. Nobody waits for a reader: each slot has a generation (a seqlock), which
shows a reader that was too slow that its slot has been written again.
"""

from __future__ import annotations

import json
import os
import secrets

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.capture.transport.ring import Ring
from livemef.fusion.stream.wire import EXPOSURE, FUSED

SHARED = "shm/"
"""What stands before a picture's topic where the message names shared memory instead of carrying the pixels."""

SLOTS, EXPOSURE_SLOTS = 6, 4
"""A reader may take so many frames less one to copy a picture: 160 ms at 30 frames/s, of an exposure more than 100."""

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
        self._segment = secrets.token_bytes(16)
        for slot in range(slots):
            self._ring.view(slot, (16,), np.uint8, 8)[:] = np.frombuffer(self._segment, np.uint8)
        self._generations = [0] * slots
        self._slot = slots - 1
        self._prepared = False
        self.prepare()

    def room(self, like: Pixels) -> Pixels:
        """The next slot as a picture of the shape and dtype of `like`: the same memory until `put`."""
        self.prepare()
        return self._ring.view(self._slot, like.shape, like.dtype, HEAD_BYTES)

    def put(self, payload: memoryview) -> bytes:
        """Offer a picture of the ring's size, which is copied unless it lies in `room`. Returns the note for its
        readers, JSON. `prepare` is to be called when that has been sent.
        """
        self.prepare()
        given = np.frombuffer(payload, np.uint8)
        place: NDArray[np.uint8] = self._ring.view(self._slot, given.shape, np.uint8, HEAD_BYTES)
        if place.ctypes.data != given.ctypes.data:
            place[:] = given
        self._advance(self._slot)
        self._prepared = False
        return self._note

    def prepare(self) -> None:
        """Go on to the next slot, unless that has been done since the last picture.

        A slot is so marked almost a frame before anything is written there: whatever the order in which another core
        sees the two, it sees the mark long before the first new pixel.
        """
        if self._prepared:
            return
        self._prepared, self._slot = True, (self._slot + 1) % self._ring.slots
        self._advance(self._slot)
        note = {
            "pid": os.getpid(),
            "fd": self._ring.fileno(),
            "segment": self._segment.hex(),
            "offset": self._slot * self._ring.slot_bytes,
            "generation": self._generations[self._slot] + 1,
            "size": self.size,
        }
        self._note = json.dumps(note, separators=(",", ":")).encode()

    def _advance(self, slot: int) -> None:
        """From being written (odd) to readable (even), or back."""
        self._generations[slot] += 1
        self._ring.view(slot, (1,), "<u8")[0] = self._generations[slot]

    def close(self) -> None:
        """Let go of the memory; readers keep what they have mapped."""
        self._ring.close()
