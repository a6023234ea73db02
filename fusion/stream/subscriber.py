"""Receives pictures, and counts missing ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import zmq

from livemef.fusion.errors import FusionError
from livemef.fusion.stream import wire
from livemef.fusion.stream.codecs import LARGEST_PICTURE
from livemef.fusion.stream.endpoint import Attachment, Endpoint, parse_endpoint
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.security import HandshakeMonitor, is_local, secure_client
from livemef.fusion.stream.shared_topics import BYTES_A_PIXEL, SILENCE_S, SharedTopics
from livemef.fusion.stream.stream_event import StreamEvent, decode_event, is_event

RECEIVE_HIGH_WATER = 4


class ReceiveTimeout(FusionError):
    """No message arrived within the time limit."""


@dataclass(slots=True)
class GapCounter:
    """Counts missing numbers, topic by topic.

    gaps: messages missing within a stream. restarts: number of times that a new stream began (another `stream`, or
    numbers that go back); how many messages were missed then is unknown, so none are counted.
    """

    gaps: int = 0
    restarts: int = 0
    _last: dict[str, tuple[str, int]] = field(default_factory=dict)

    def note(self, topic: str, stream: str, seq: int) -> int:
        """Count a message. Returns how many are missing just before it."""
        before = self._last.get(topic)
        self._last[topic] = (stream, seq)
        if before is None:
            return 0
        if before[0] != stream or seq <= before[1]:
            self.restarts += 1
            return 0
        missing = seq - before[1] - 1
        self.gaps += missing
        return missing

    def forget(self, topic: str) -> None:
        """Restart the count of `topic`: for use after unsubscribing, when missing numbers are no gaps."""
        self._last.pop(topic, None)


class Subscriber:
    """A ZeroMQ SUB socket on a stream.

    endpoint: `sub+connect:tcp://HOST:PORT`, `sub+connect:ipc:///PATH` ...; the publisher may come later, and
    come back after a restart. topics: "fused", "exposure/0" ...; a topic also matches longer ones that begin
    with it, as ZeroMQ has it. most_pixels: limit of a picture's width x height; larger messages end the connection, and
    pictures that claim more are refused. keys: where keys are looked up (docs/security.md); None = this user's.
    on_event: called by `receive` with each event of the pipeline that comes before a picture. shared_memory: on this
    machine pictures come through it where the publisher offers that; a receiver that falls behind by more than
    `picture_ring.TURNING` pictures then gets later ones. Raises FusionError for a wrong endpoint. Not thread-safe.
    """

    def __init__(
        self,
        endpoint: str,
        topics: Sequence[str] = (wire.FUSED,),
        *,
        most_pixels: int = LARGEST_PICTURE,
        keys: KeyFolder | None = None,
        on_event: Callable[[StreamEvent], None] | None = None,
        shared_memory: bool = True,
    ) -> None:
        self._on_event = on_event
        topics = (*topics, wire.EVENT) if on_event is not None else topics
        self._most_pixels = most_pixels
        self.counter = GapCounter()
        self.endpoint = parse_endpoint(endpoint, "sub")
        self._context = zmq.Context()
        try:
            self._socket = sub_socket(self._context, most_pixels=most_pixels)
            self._topics = SharedTopics(self._socket, shared_memory and may_be_shared(self.endpoint), most_pixels)
            for topic in topics:
                self._topics.subscribe(topic)
            keys = keys or KeyFolder()
            uses_curve = secure_client(self._socket, self.endpoint, keys)
            self._monitor = HandshakeMonitor(self._socket, uses_curve, keys)
            self._attachment = Attachment(self._socket, self.endpoint)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def poll(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` for a message. Returns whether there is one."""
        end_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, end_s - time.monotonic())
            if self._socket.poll(int(min(left_s, SILENCE_S) * 1000)):
                return True
            self._topics.still_silent()
            if left_s <= SILENCE_S:
                return False

    async def ready(self, timeout_s: float) -> bool:
        """`poll` for asyncio: other tasks go on meanwhile. May be cancelled."""
        import zmq.asyncio

        poller = zmq.asyncio.Poller()
        poller.register(self._socket, zmq.POLLIN)
        end_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, end_s - time.monotonic())
            if await poller.poll(int(min(left_s, SILENCE_S) * 1000)):
                return True
            self._topics.still_silent()
            if left_s <= SILENCE_S:
                return False

    def silence(self, timeout_s: float) -> ReceiveTimeout:
        """The error for no message within `timeout_s`, with the reason where one is known."""
        reason = self._monitor.reason() or "is its publisher running?"
        return ReceiveTimeout(f"no message from {self.endpoint} within {timeout_s:g} s: {reason}")

    def receive(self, timeout_s: float, newest: bool = False) -> wire.Message:
        """The next message, or with `newest` the last of those already here (skipped ones count as gaps).

        Raises ReceiveTimeout after `timeout_s`, WireError for a message that does not follow docs/wire.md;
        the next one can be received all the same. A raw picture is a read-only view of the message.
        """
        deadline = time.monotonic() + timeout_s
        message: wire.Message | None = None
        while message is None:
            parts: Sequence[Any] | None = None
            while parts is None or (newest and self.poll(0)):
                if parts is None and not self.poll(max(0.0, deadline - time.monotonic())):
                    raise self.silence(timeout_s)
                parts = self._picture() or parts
            message = self._message(parts)
        missed = self.counter.note(message.topic, message.header.stream, message.header.seq)
        return replace(message, received_wall_ns=time.time_ns(), missed=missed)

    def _message(self, parts: Sequence[Any]) -> wire.Message | None:
        """The message; None if its pixels are gone from shared memory, or came from there before. Raises WireError."""
        whole = self._topics.with_pixels(parts)
        message = None if whole is None else wire.decode(whole, self._most_pixels)
        if message is None or self._topics.again(message.topic, message.header, shared=whole is not parts):
            return None
        return message

    def _picture(self) -> Sequence[Any] | None:
        """The parts of the next message; None if it is an event, which goes to `on_event`, or of no use. Raises
        WireError.
        """
        parts = [part.buffer for part in self._socket.recv_multipart(copy=False)]
        if not is_event(bytes(parts[0])):
            return self._topics.take(parts)
        event = decode_event(parts)
        self.counter.note(wire.EVENT, event.stream, event.seq)
        if self._on_event is not None:
            self._on_event(event)
        return None

    def close(self) -> None:
        """Close the socket. May be called twice."""
        if not self._context.closed:
            self._monitor.close()
            self._context.destroy(linger=0)
            self._topics.close()
            self._attachment.close()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def may_be_shared(endpoint: Endpoint) -> bool:
    """Whether its publisher's memory may be at hand: one publisher, on this machine."""
    return is_local(endpoint) and not endpoint.bind


def open_sub(
    context: zmq.Context[Any],
    endpoint: Endpoint,
    topics: Sequence[str],
    high_water: int = RECEIVE_HIGH_WATER,
    most_pixels: int = LARGEST_PICTURE,
) -> tuple[Any, Attachment]:
    """A SUB socket of `context` (zmq's or zmq.asyncio's) on `endpoint`, with keys where the publisher's is known."""
    socket = sub_socket(context, high_water, most_pixels)
    for topic in topics:
        socket.subscribe(topic.encode())
    secure_client(socket, endpoint, KeyFolder())
    return socket, Attachment(socket, endpoint)


def sub_socket(
    context: zmq.Context[Any], high_water: int = RECEIVE_HIGH_WATER, most_pixels: int = LARGEST_PICTURE
) -> Any:
    """A SUB socket of `context`, not yet connected, with a small queue and dead-peer detection."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, high_water)
    socket.setsockopt(zmq.MAXMSGSIZE, most_pixels * BYTES_A_PIXEL + wire.LONGEST_HEADER)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    # the kernel's keep-alive: ZeroMQ's own heartbeat would cut off a reader that is merely slow
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    return socket
