"""Pictures in shared memory, the subscriber's side: subscriptions that use it where publisher and reader can.

A topic is first asked for both ways. What comes first decides: a note (docs/wire.md, "Shared memory") whose memory can
be opened here ends the subscription by socket, one that cannot be opened ends the other. A publisher that knows no
shared memory never sends a note.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from livemef.fusion.stream import leases
from livemef.fusion.stream.codecs import LARGEST_PICTURE
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.kept_memory import KeptMemory
from livemef.fusion.stream.picture_ring import HEAD_BYTES, SHARED, may_share
from livemef.fusion.stream.wire import Part, WireError

BYTES_A_PIXEL = 6
MOST_LEASED = 2
"""Slots of one segment that a reader keeps on lease: the picture that its program works on, and the next."""

SILENCE_S = 1.0
"""After so long without a picture the socket's subscription is renewed: another program may publish there now."""

_MEMORY = "/memfd:livemef-ring"
Whole = Annotated[int, Field(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Note:
    """Where a picture lies: file descriptor `fd` of process `pid`, whose segment has this name (hexadecimal), slot at
    `offset`. `size`: bytes of pixels behind the slot's head. generation: of the slot, as long as the picture is there.
    lend: whether the slot may be leased.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True)

    pid: Whole
    fd: Whole
    segment: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    offset: Whole
    generation: Whole
    size: Whole
    lend: bool = False


_NOTE: TypeAdapter[Note] = TypeAdapter(Note)


def read_note(part: Part) -> Note:
    """The note in a message's third part. Raises WireError."""
    text = memoryview(part).cast("B")
    if text.nbytes > 1024:
        raise WireError(f"note of shared memory: {text.nbytes} bytes are too many")
    try:
        return _NOTE.validate_json(bytes(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise WireError(f"note of shared memory: {first['loc']}: {first['msg'][:200]}") from None


class LeasableMemory:
    """A mapped memory file, read-only, and the leases that this process has of its slots. Closed with the last view."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._mapped = mmap.mmap(fd, os.fstat(fd).st_size, access=mmap.ACCESS_READ)
        self.bytes: NDArray[np.uint8] = np.frombuffer(self._mapped, np.uint8)
        self._leased: set[int] = set()

    def lease(self, at: int) -> bool:
        """Keep the slot at `at` from being written; False if that cannot be had, or too much is leased already."""
        if at in self._leased or len(self._leased) >= MOST_LEASED or not leases.lock_to_read(self._fd, at):
            return False
        self._leased.add(at)
        return True

    def give_back(self, at: int) -> None:
        """End the lease of the slot at `at`."""
        leases.unlock(self._fd, at)
        self._leased.discard(at)

    def leased_view(self, at: int, begin: int, size: int) -> NDArray[np.uint8]:
        """`size` bytes from `begin` on in the leased slot at `at`, whose lease ends with the last view of them."""
        # Views of views refer to the first array that is no view of another: that is this one.
        view: NDArray[np.uint8] = np.frombuffer(self._mapped, np.uint8, size, begin)
        weakref.finalize(view, self.give_back, at).atexit = False
        return view

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)


class Segment:
    """A publisher's memory, read-only. Raises OSError where it cannot be opened here."""

    def __init__(self, note: Note) -> None:
        place = f"/proc/{note.pid}/fd/{note.fd}"
        if not os.readlink(place).startswith(_MEMORY):  # of another process: its number belongs to another machine
            raise FileNotFoundError(place)
        self._memory = LeasableMemory(_opened_sealed(place))
        self._bytes = self._memory.bytes
        self._generations: NDArray[np.uint64] = self._bytes.view("<u8")
        """Among them those of the slots, see `picture_ring`."""
        self.name = note.segment
        if not self._holds(note) or self._head(note)[8:24].tobytes().hex() != note.segment:
            raise FileNotFoundError(place)

    def _holds(self, note: Note) -> bool:
        return note.offset % HEAD_BYTES == 0 and note.offset + HEAD_BYTES + note.size <= self._bytes.size

    def _head(self, note: Note) -> NDArray[np.uint8]:
        return self._bytes[note.offset : note.offset + HEAD_BYTES]

    def _is_there(self, note: Note) -> bool:
        return int(self._generations[note.offset // 8]) == note.generation

    def pixels(self, note: Note, memory: KeptMemory) -> NDArray[np.uint8] | None:
        """The picture's bytes: in place, read-only, where the slot can be leased until nobody has them any more; else a
        copy. None as for `copy`. Raises WireError for a note that names what is outside.
        """
        self._check(note)
        if not note.lend or not self._memory.lease(note.offset):
            return self.copy(note, memory)
        if not self._is_there(note):  # cannot change any more: who writes a slot has locked it
            self._memory.give_back(note.offset)
            return None
        return self._memory.leased_view(note.offset, note.offset + HEAD_BYTES, note.size)

    def copy(self, note: Note, memory: KeptMemory) -> NDArray[np.uint8] | None:
        """The picture's bytes, in `memory`; None if it is no longer there, or was written over while it was copied.

        Raises WireError for a note that names what is outside.
        """
        self._check(note)
        if not self._is_there(note):
            return None
        begin = note.offset + HEAD_BYTES
        pixels = memory.room(note.size)
        np.copyto(pixels, self._bytes[begin : begin + note.size])
        # The note came through a system call, which orders memory; what was copied is older than this second look, as
        # far as a processor may reorder reads (hundreds of instructions; here lie thousands).
        return pixels if self._is_there(note) else None

    def _check(self, note: Note) -> None:
        if not self._holds(note):
            raise WireError(f"note of shared memory: {note.size} bytes at {note.offset} are outside the segment")


def _opened_sealed(place: str) -> int:
    """A descriptor of memory that cannot be cut short (that would end this process with SIGBUS). Raises OSError."""
    fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK == 0:
            raise PermissionError(place)
    except BaseException:
        os.close(fd)
        raise
    return fd


class SharedTopics:
    """The subscriptions of a SUB socket (zmq's or zmq.asyncio's), some of them by shared memory.

    overtaken: pictures that had been written over before they were copied.
    """

    def __init__(self, socket: Any, enabled: bool = True, most_pixels: int = LARGEST_PICTURE) -> None:
        self._socket, self._enabled, self._most_bytes = socket, enabled, most_pixels * BYTES_A_PIXEL
        self._by_socket: dict[str, bool] = {}
        """Topics that are asked for both ways, and whether the socket's subscription is on."""
        self._segments: dict[str, Segment] = {}
        """By topic, without its prefix."""
        self._last: dict[str, tuple[str, int]] = {}
        """Stream and number of the last picture of each topic that came by shared memory."""
        self._memory = KeptMemory()
        self._heard_s = time.monotonic()
        self.overtaken = 0

    def subscribe(self, topic: str) -> None:
        """Ask for a topic, as ZeroMQ has it: also those that begin with it."""
        self._heard_s = time.monotonic()
        self._socket.subscribe(topic.encode())
        if self._enabled and may_share(topic):
            self._socket.subscribe((SHARED + topic).encode())
            self._by_socket[topic] = True

    def unsubscribe(self, topic: str) -> None:
        """Ask for it no more. Memory that was read for it is let go."""
        shares = topic in self._by_socket
        if self._by_socket.pop(topic, True):
            self._socket.unsubscribe(topic.encode())
        if shares:
            self._socket.unsubscribe((SHARED + topic).encode())
            self._segments = {one: held for one, held in self._segments.items() if not one.startswith(topic)}

    def still_silent(self) -> None:
        """To be called while nothing comes: after SILENCE_S, pictures are asked for by socket too."""
        if time.monotonic() - self._heard_s > SILENCE_S:
            for topic, on in self._by_socket.items():
                if not on:
                    self._socket.subscribe(topic.encode())
                    self._by_socket[topic] = True

    def take(self, parts: Sequence[Part]) -> Sequence[Part] | None:
        """To be called with each message: what `with_pixels` makes a picture of, None if it is of no use. Raises
        WireError.
        """
        topic = bytes(parts[0]).decode("ascii", "replace")
        if not topic.startswith(SHARED):
            if may_share(topic):
                self._heard_s = time.monotonic()
            return parts
        name = topic[len(SHARED) :]
        asked = next((one for one in self._by_socket if name.startswith(one)), None)
        if asked is None or len(parts) != 3:  # everything was asked for, or it was on its way
            return None
        note = read_note(parts[2])
        if not self._opened(name, note):
            self._socket.unsubscribe((SHARED + asked).encode())
            if not self._by_socket.pop(asked):
                self._socket.subscribe(asked.encode())
            return None
        self._heard_s = time.monotonic()
        if self._by_socket[asked]:
            self._socket.unsubscribe(asked.encode())
            self._by_socket[asked] = False
        return [parts[0], parts[1], note]

    def _opened(self, name: str, note: Note) -> bool:
        known = self._segments.get(name)
        if known is None or known.name != note.segment:
            try:
                self._segments[name] = Segment(note)
            except (OSError, ValueError):
                return False
        return True

    def with_pixels(self, parts: Sequence[Part]) -> Sequence[Part] | None:
        """What `take` returned, with the pixels as third part under the picture's own topic; None if they are gone.

        They are good for as long as anybody has them: a copy, or in place in a slot that is leased. Raises WireError.
        """
        note = parts[2] if len(parts) == 3 else None
        if not isinstance(note, Note):
            return parts
        name = bytes(parts[0])[len(SHARED) :]
        if note.size > self._most_bytes:
            raise WireError(f"note of shared memory: {note.size} bytes are over the limit of {self._most_bytes}")
        held = self._segments.get(name.decode())
        pixels = held.pixels(note, self._memory) if held is not None and held.name == note.segment else None
        if pixels is None:
            self.overtaken += 1
            return None
        return [name, parts[1], pixels]

    def again(self, topic: str, header: Header, shared: bool) -> bool:
        """Whether a picture that has come by socket is one that came by shared memory before."""
        if shared:
            self._last[topic] = (header.stream, header.seq)
            return False
        last = self._last.get(topic)
        return last is not None and header.stream == last[0] and header.seq <= last[1]

    def close(self) -> None:
        """Let go of the publisher's memory."""
        self._segments.clear()
        self._memory.clear()
