"""How frames change hands between the capture process and the fusion process: slot numbers over a Unix socket.

Both are given one end of a pair of sockets that has no name (`meeting_point`). Fusion sends through it one end of a new
connection, capture takes that up, and answers with the ring's file descriptor and the camera's description. From then
on capture sends one small JSON message a frame, and slots return the same way. The supervisor keeps both ends, so
either process can die and its successor is found again. As nothing has a name, nothing can be left behind, and no other
process can connect, listen in capture's place, or watch.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]
MESSAGE_BYTES = 1 << 16
RETRY_S = 0.02
SEND_LIMIT_S = 2
_NEVER_WAIT = socket.MSG_DONTWAIT
_TIMEVAL = struct.Struct("@ll")
"""struct timeval."""


def meeting_point() -> tuple[socket.socket, socket.socket]:
    """Capture's end and fusion's end. Both stay in blocking mode: who shares them shares the mode, too."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _same_user(peer: socket.socket) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())


def _send_with_descriptor(peer: socket.socket, data: bytes, descriptor: int) -> None:
    """Send both, without waiting. (Python's socket.send_fds ignores its flags.) Raises OSError."""
    rights = array.array("i", [descriptor])
    peer.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], _NEVER_WAIT)


def _receive_with_descriptor(peer: socket.socket, flags: int) -> tuple[bytes, int | None]:
    """Data and the file descriptor that came along, if any. Raises OSError, also where no descriptor is left here."""
    room = socket.CMSG_LEN(array.array("i").itemsize)
    data, extra, state, _ = peer.recvmsg(MESSAGE_BYTES, room, flags | socket.MSG_CMSG_CLOEXEC)
    if state & socket.MSG_CTRUNC:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    for level, kind, rights in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return data, array.array("i", rights)[0]
    return data, None


def _drain(peer: socket.socket) -> tuple[list[Message], bool]:
    """All messages that are there now, and whether the peer is still there. Never waits."""
    messages: list[Message] = []
    while True:
        try:
            data = peer.recv(MESSAGE_BYTES, _NEVER_WAIT)
        except BlockingIOError:
            return messages, True
        except OSError:
            return messages, False
        if not data:
            return messages, False
        messages.append(json.loads(data))


class LinkServer:
    """Capture's end: one consumer at a time, the newest one. Nothing here ever waits.

    point: capture's end of a `meeting_point`; it stays the caller's. greeting: what a consumer is sent first, with
    `ring_fd`.
    """

    def __init__(self, point: socket.socket, greeting: Mapping[str, Any], ring_fd: int) -> None:
        self._point, self._greeting, self._ring_fd = point, _encode(greeting), ring_fd
        self._peer: socket.socket | None = None

    @property
    def connected(self) -> bool:
        """Whether a consumer is there."""
        return self._peer is not None

    def accept(self) -> bool:
        """Take up a consumer that is waiting. True if there is a new one: the old one's slots are to be taken back.

        Raises OSError where this process may open no more files.
        """
        found = False
        while (peer := self._next_caller()) is not None:
            found = self._take_up(peer) or found
        return found

    def _next_caller(self) -> socket.socket | None:
        try:
            _, descriptor = _receive_with_descriptor(self._point, _NEVER_WAIT)
        except BlockingIOError:
            return None
        return None if descriptor is None else socket.socket(fileno=descriptor)

    def _take_up(self, peer: socket.socket) -> bool:
        try:
            if not _same_user(peer):
                raise PermissionError("a peer of another user")
            _send_with_descriptor(peer, self._greeting, self._ring_fd)
        except OSError:  # most often one that has died or given up meanwhile
            peer.close()
            return False
        self._hang_up()
        self._peer = peer
        return True

    def send(self, message: Mapping[str, Any]) -> bool:
        """Hand a message over; False if there is nobody to take it now."""
        if self._peer is None:
            return False
        try:
            self._peer.send(_encode(message), _NEVER_WAIT)
        except BlockingIOError:
            return False
        except OSError:
            self._hang_up()
            return False
        return True

    def receive(self) -> list[Message]:
        """What the consumer has sent since. Afterwards `connected` is False if it has gone."""
        if self._peer is None:
            return []
        messages, alive = _drain(self._peer)
        if not alive:
            self._hang_up()
        return messages

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._peer = None

    def close(self) -> None:
        """End the link."""
        self._hang_up()


class LinkClient:
    """Fusion's end of one connection."""

    def __init__(self, peer: socket.socket, greeting: Message, ring_fd: int) -> None:
        self._peer, self.greeting, self.ring_fd = peer, greeting, ring_fd
        peer.settimeout(None)  # Python would ask the kernel twice for each message
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(SEND_LIMIT_S, 0))

    def fileno(self) -> int:
        """Readable when there is something to `receive`."""
        return self._peer.fileno()

    def receive(self) -> Message | None:
        """The next message; None if none is there: never waits. Raises ConnectionError when capture is gone."""
        try:
            data = self._peer.recv(MESSAGE_BYTES, _NEVER_WAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ConnectionError("the capture process is gone") from error
        if not data:
            raise ConnectionError("the capture process is gone")
        message: Message = json.loads(data)
        return message

    def send(self, message: Mapping[str, Any]) -> None:
        """Send to the capture process, for SEND_LIMIT_S at most. Its death shows at the next `receive`."""
        try:
            self._peer.send(_encode(message))
        except OSError:
            return

    def interrupt(self) -> None:
        """End the link's use: it is readable now, and `receive` raises ConnectionError."""
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the link. The ring's file descriptor is the caller's."""
        self._peer.close()


class Caller:
    """Fusion's end of a `meeting_point`: asks for a connection, one request at a time. The point stays the caller's."""

    def __init__(self, point: socket.socket) -> None:
        self._point = point
        self._waiting: socket.socket | None = None

    def connect(self, timeout_s: float) -> LinkClient | None:
        """A connection to the capture process; None if it does not answer within `timeout_s`. Ask again then."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self._waiting is None:
                self._waiting = self._request()
            if self._waiting is not None:
                client = self._answer(self._waiting, max(RETRY_S, deadline - time.monotonic()))
                if client is not None:
                    return client
            if time.monotonic() >= deadline:
                return None
            time.sleep(RETRY_S)

    def _request(self) -> socket.socket | None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                _send_with_descriptor(self._point, b"connect", theirs.fileno())
            except OSError:  # full of requests that nobody took up: the next capture process will
                ours.close()
                return None
        return ours

    def _answer(self, peer: socket.socket, timeout_s: float) -> LinkClient | None:
        peer.settimeout(timeout_s)
        try:
            data, descriptor = _receive_with_descriptor(peer, 0)
        except TimeoutError:
            return None
        except ConnectionError:
            data, descriptor = b"", None
        self._waiting = None
        if descriptor is not None:
            return LinkClient(peer, json.loads(data), descriptor)
        peer.close()  # the capture process died with the request in its hands
        return None

    def close(self) -> None:
        """Give up a request that was not answered."""
        if self._waiting is not None:
            self._waiting.close()
        self._waiting = None
