"""Reusable buffers for payloads that ZeroMQ sends without copying; reused when ZeroMQ has released them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import zmq
from numpy.typing import NDArray


@dataclass(slots=True)
class Buffer:
    """Memory for one payload. tracker: ZeroMQ's tracker of the message, done when it was sent to all subscribers. lent:
    somebody writes a payload into it.
    """

    memory: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    tracker: zmq.MessageTracker | None = None
    lent: bool = False

    @property
    def free(self) -> bool:
        """Whether ZeroMQ has released it, and it is not lent."""
        return not self.lent and (self.tracker is None or self.tracker.done)

    def part(self, size: int) -> NDArray[np.uint8]:
        """The first `size` bytes of the buffer, which grows if needed."""
        if self.memory.size < size:
            self.memory = np.empty(size, np.uint8)
        return self.memory[:size]

    def fill(self, payload: memoryview) -> memoryview:
        """Copy `payload` into the buffer, which grows if needed, unless it lies there. Returns the filled part."""
        given = np.frombuffer(payload, np.uint8)
        part = self.part(given.size)
        if part.ctypes.data != given.ctypes.data:
            part[:] = given
        return part.data


class BufferPool:
    """A pool of at most `limit` buffers, allocated on demand."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffers: list[Buffer] = []

    def take(self) -> Buffer | None:
        """A free buffer; None when all `limit` are in flight. Never waits."""
        for buffer in self._buffers:
            if buffer.free:
                return buffer
        if len(self._buffers) == self._limit:
            return None
        self._buffers.append(Buffer())
        return self._buffers[-1]

    def lend(self, size: int) -> Buffer | None:
        """A buffer of at least `size` bytes to write a payload into, until it is filled; None as for `take`."""
        buffer = self.take()
        if buffer is not None:
            buffer.part(size)
            buffer.lent = True
        return buffer

    @property
    def in_flight(self) -> int:
        """Buffers that ZeroMQ still holds."""
        return sum(not buffer.free for buffer in self._buffers)

    @property
    def size_bytes(self) -> int:
        """Memory allocated so far, bytes."""
        return sum(buffer.memory.nbytes for buffer in self._buffers)
