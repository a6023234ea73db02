"""Memory for payloads that ZeroMQ sends without copying: taken again only when it says it is done with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import zmq
from numpy.typing import NDArray


@dataclass(slots=True)
class Buffer:
    """Bytes that a message may stand in. `tracker` tells when the last subscriber's copy has left."""

    memory: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    tracker: zmq.MessageTracker | None = None

    @property
    def free(self) -> bool:
        """Nobody reads it any more."""
        return self.tracker is None or self.tracker.done

    def fill(self, payload: memoryview) -> memoryview:
        """Copy `payload` in, growing if need be; the filled part."""
        if self.memory.size < payload.nbytes:
            self.memory = np.empty(payload.nbytes, np.uint8)
        part = self.memory[: payload.nbytes]
        part[:] = np.frombuffer(payload, np.uint8)
        return part.data


class BufferPool:
    """At most `limit` buffers. Memory is taken only as far as so many are in flight at once."""

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

    @property
    def in_flight(self) -> int:
        """Buffers that ZeroMQ still holds."""
        return sum(not buffer.free for buffer in self._buffers)

    @property
    def size_bytes(self) -> int:
        """Memory taken so far."""
        return sum(buffer.memory.nbytes for buffer in self._buffers)
