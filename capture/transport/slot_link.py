"""How frames change hands between the capture process and the fusion process: slot numbers over a Unix socket.

Capture listens; fusion connects, is greeted with the ring's file descriptor and the camera's description, and from
then on receives one small JSON message a frame and returns slots the same way. The socket has an abstract name (Linux):
there is no file to leak, whichever side is killed; a peer of another user is turned away.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from livemef.capture.errors import CaptureError

Message = dict[str, Any]
MESSAGE_BYTES = 1 << 16


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _same_user(peer: socket.socket) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())


def _drain(peer: socket.socket) -> tuple[list[Message], bool]:
    """All messages that are there now, and whether the peer is still there. Never waits."""
    messages: list[Message] = []
    while True:
        try:
            data = peer.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return messages, True
        except OSError:
            return messages, False
        if not data:
            return messages, False
        messages.append(json.loads(data))


class LinkServer:
    """Capture's end: one consumer at a time, the newest one. Nothing here ever waits."""

    def __init__(self, name: str, greeting: Mapping[str, Any], ring_fd: int) -> None:
        self._greeting, self._ring_fd = _encode(greeting), ring_fd
        self._peer: socket.socket | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.bind("\0" + name)
        except OSError as error:
            self._socket.close()
            raise CaptureError(f"cannot listen on the capture link {name}: {error.strerror}") from error
        self._socket.listen(1)
        self._socket.setblocking(False)

    @property
    def connected(self) -> bool:
        """Whether a consumer is there."""
        return self._peer is not None

    def accept(self) -> bool:
        """Take up a consumer that is waiting. True if there is a new one: the old one's slots are to be taken back."""
        try:
            peer, _ = self._socket.accept()
        except BlockingIOError:
            return False
        if not _same_user(peer):
            peer.close()
            return False
        self._hang_up()
        try:
            socket.send_fds(peer, [self._greeting], [self._ring_fd])
        except OSError:
            peer.close()
            return False
        self._peer = peer
        return True

    def send(self, message: Mapping[str, Any]) -> bool:
        """Hand a message over; False if there is nobody to take it now."""
        if self._peer is None:
            return False
        try:
            self._peer.send(_encode(message), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            self._hang_up()
            return False
        return True

    def receive(self) -> list[Message]:
        """What the consumer has said since. Afterwards `connected` is False if it has gone."""
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
        self._socket.close()


class LinkClient:
    """Fusion's end."""

    def __init__(self, peer: socket.socket, greeting: Message, ring_fd: int) -> None:
        self._peer, self.greeting, self.ring_fd = peer, greeting, ring_fd

    @classmethod
    def connect(cls, name: str, timeout_s: float) -> LinkClient | None:
        """Connect to the capture process; None if it does not answer within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                peer.connect("\0" + name)
                peer.settimeout(max(0.1, deadline - time.monotonic()))
                data, descriptors, _, _ = socket.recv_fds(peer, MESSAGE_BYTES, 1)
            except OSError:
                descriptors = []
            if descriptors:
                return cls(peer, json.loads(data), descriptors[0])
            peer.close()
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None after `timeout_s`. Raises ConnectionError when capture is gone."""
        self._peer.settimeout(timeout_s)
        try:
            data = self._peer.recv(MESSAGE_BYTES)
        except TimeoutError:
            return None
        except OSError as error:
            raise ConnectionError("the capture process is gone") from error
        if not data:
            raise ConnectionError("the capture process is gone")
        message: Message = json.loads(data)
        return message

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the capture process. Its death shows at the next `receive`."""
        try:
            self._peer.send(_encode(message))
        except OSError:
            return

    def close(self) -> None:
        """End the link. The ring's file descriptor is the caller's."""
        self._peer.close()
