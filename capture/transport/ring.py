"""Frames in shared memory, and the bookkeeping of who owns which slot. No process logic.

The memory is one memfd, mapped by both sides: it has no name, so nothing can leak, and the kernel frees it
with the last process that has it. Its file descriptor travels over a Unix socket (see slot_link.py). A slot
belongs to one side at a time and is handed over by message (the system calls that carry it order memory, on Arm too).
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from livemef.capture.errors import CaptureError

T = TypeVar("T")
_PAGE = 4096


class Ring:
    """Slots of equal size in memory that two processes share. Made by `create`, joined by `attach`."""

    def __init__(self, fd: int, slots: int, slot_bytes: int, writable: bool) -> None:
        self.slots = slots
        self.slot_bytes = _round_up(slot_bytes)
        self._fd = fd
        self._writable = writable
        self._memory: mmap.mmap | None = mmap.mmap(fd, slots * self.slot_bytes)

    @classmethod
    def create(cls, slots: int, slot_bytes: int) -> Ring:
        """New memory for `slots` slots of at least `slot_bytes` each (rounded up to whole pages).

        All of it is taken at once, so that a machine short of memory says so here and not in the midst of a
        frame. Raises CaptureError.
        """
        if slots < 1 or slot_bytes < 1:
            raise ValueError(f"a ring of {slots} slots of {slot_bytes} bytes is no ring")
        size = slots * _round_up(slot_bytes)
        if not hasattr(os, "memfd_create"):
            raise CaptureError(
                "frames cannot be shared: this system or this build of Python has no memfd_create (Linux only)"
            )
        try:
            fd = os.memfd_create("livemef-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            raise CaptureError(
                f"frames cannot be shared: memfd_create failed ({error.strerror}); "
                "it needs Linux 3.17 or later and a sandbox that permits it"
            ) from error
        try:
            os.ftruncate(fd, size)
            os.posix_fallocate(fd, 0, size)
            # A peer that shrank the memory would kill us with SIGBUS at the next access.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(fd, slots, slot_bytes, writable=True)
        except OSError as error:
            os.close(fd)
            raise CaptureError(
                f"no memory for {slots} frames of {slot_bytes} bytes ({error.strerror}): "
                "use fewer slots or a smaller picture"
            ) from error

    @classmethod
    def attach(cls, fd: int, slots: int, slot_bytes: int) -> Ring:
        """Map the ring behind `fd`, which belongs to the ring from then on; pictures seen through it are read-only.

        Raises CaptureError if `fd` is not a ring of that size, or one that could still be cut short under our hands
        (the next access would be SIGBUS); `fd` stays the caller's then.
        """
        size = slots * _round_up(slot_bytes)
        try:
            if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK == 0:
                raise CaptureError("the shared memory is not sealed against shrinking: it is no ring of livemef")
            actual = os.fstat(fd).st_size
            if actual == size:
                return cls(fd, slots, slot_bytes, writable=False)
        except OSError as error:
            raise CaptureError(
                f"the shared memory of {size >> 20} MiB cannot be mapped: {error.strerror}; "
                "use fewer slots or a smaller picture, or allow more address space (ulimit -v)"
            ) from error
        raise CaptureError(
            f"the shared memory has {actual} bytes, not {slots} slots of {slot_bytes}: restart both sides"
        )

    def fileno(self) -> int:
        """The memory's file descriptor, to be passed to the other process. It stays the ring's."""
        return self._fd

    def view(self, slot: int, shape: Sequence[int], dtype: DTypeLike, offset: int = 0) -> NDArray[Any]:
        """The array that begins `offset` bytes into a slot, in place, not copied. Valid while the caller owns the slot;
        read-only on the attached side."""
        if self._memory is None:
            raise ValueError("the ring is closed")
        kind, count = np.dtype(dtype), int(np.prod(shape))
        if not 0 <= slot < self.slots or offset < 0 or offset + count * kind.itemsize > self.slot_bytes:
            raise ValueError(
                f"{tuple(shape)} {kind} at {offset} in slot {slot} is outside {self.slots} slots of {self.slot_bytes} "
                "bytes"
            )
        picture = np.frombuffer(self._memory, kind, count, slot * self.slot_bytes + offset).reshape(shape)
        picture.flags.writeable = self._writable
        return picture

    def memory(self) -> NDArray[np.uint8]:
        """All slots, in place: for a device that reads them there, and needs to know."""
        if self._memory is None:
            raise ValueError("the ring is closed")
        return np.frombuffer(self._memory, np.uint8)

    def close(self) -> None:
        """Let go of the memory. Views that are still alive stay valid, and keep it mapped until they end.
        May be called twice."""
        if self._memory is None:
            return
        with contextlib.suppress(BufferError):  # raised while views are alive; the last one unmaps it
            self._memory.close()
        self._memory = None
        os.close(self._fd)
        self._fd = -1


class SlotPool(Generic[T]):
    """The producer's account of its slots. Pure; slots are numbers.

    A slot is free, being written, waiting (full, but not yet handed over) or at the consumer. At most
    `lent_max` are at the consumer at a time: what comes while it is busy waits here, where the oldest can
    still be taken back for the newest. So with `lent_max` <= slots - 2 the producer always has a slot to
    write, and a slow consumer finds the newest frames.

    taken_back: waiting frames that gave way to newer ones. refused: `acquire` found nothing, and a frame was
    lost. Both are drops.
    """

    def __init__(self, slots: int, lent_max: int | None = None) -> None:
        self._free = deque(range(slots))
        self._writing: set[int] = set()
        self._waiting: deque[tuple[int, T]] = deque()
        self._lent: set[int] = set()
        self._lent_max = max(1, slots - 2) if lent_max is None else lent_max
        self.taken_back = 0
        self.refused = 0

    @property
    def lent(self) -> int:
        """Slots at the consumer."""
        return len(self._lent)

    def acquire(self) -> int | None:
        """A slot to write the next frame into: a free one, else the oldest waiting one's. None = drop the
        frame."""
        if self._free:
            slot = self._free.popleft()
        elif self._waiting:
            slot, _ = self._waiting.popleft()
            self.taken_back += 1
        else:
            self.refused += 1
            return None
        self._writing.add(slot)
        return slot

    def fill(self, slot: int, note: T) -> None:
        """The slot holds a frame now; `note` (its record, a message) goes along when it is handed over."""
        self._writing.remove(slot)
        self._waiting.append((slot, note))

    def hand_over(self) -> list[tuple[int, T]]:
        """The waiting frames that the consumer may have now, oldest first. They are the consumer's from
        here on."""
        handed = []
        while self._waiting and len(self._lent) < self._lent_max:
            slot, note = self._waiting.popleft()
            self._lent.add(slot)
            handed.append((slot, note))
        return handed

    def release(self, slot: int) -> None:
        """The consumer gave a slot back. Raises ValueError if it did not have it."""
        if slot not in self._lent:
            raise ValueError(f"slot {slot} was released, but it is not at the consumer")
        self._lent.remove(slot)
        self._free.append(slot)

    def release_all(self) -> None:
        """The consumer is gone, and all its slots are free."""
        self._free.extend(sorted(self._lent))
        self._lent.clear()


def _round_up(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
