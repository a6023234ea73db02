"""Publishes pictures to any number of subscribers without waiting for any."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import zmq

from livemef.capture.errors import CaptureError
from livemef.capture.frame import Mosaic, Pixels
from livemef.fusion.errors import FusionError
from livemef.fusion.stream import imagezmq_wire
from livemef.fusion.stream.buffers import Buffer, BufferPool
from livemef.fusion.stream.codecs import Codec
from livemef.fusion.stream.endpoint import Attachment, parse_endpoint
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.header_text import PublisherFields, header_json
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.picture_ring import EXPOSURE_SLOTS, SHARED, SLOTS, PictureRing, may_share
from livemef.fusion.stream.security import PublisherSecurity
from livemef.fusion.stream.stream_event import StreamEvent, encode_event
from livemef.fusion.stream.wire import (
    EVENT,
    FUSED,
    MOTION,
    STATUS,
    exposure_topic,
    fields_of,
    fields_of_mosaic,
    mosaic_topic,
    payload_of,
)

SEND_HIGH_WATER = 12
"""Messages queued for one subscriber, all topics together. ZeroMQ gives the room back in halves, so half of it has to
hold what belongs to one picture: it, its status, its mask and up to three exposures. With 6, statuses were lost.
"""

BUFFERS = 84
"""Payloads in flight at once; memory is taken only as far as they are. A subscriber that stands still holds
SEND_HIGH_WATER + 2 of them until it goes on or leaves, one that keeps up holds one or two.
"""

LINGER_MS = 200
DEAD_PEER_MS = 10_000
"""A tcp subscriber that takes nothing for so long is cut off, and its buffers are free again; it may connect
anew.
"""

LARGEST_REQUEST = 1024
"""Bytes of a message from a subscriber. A subscription has a dozen; the rest is room for the handshake of security."""

REQUESTS_KEPT = 64
"""Subscriptions that one connection may have waiting before the rest stays in the network."""

REQUESTS_A_TURN = 1000
"""Subscriptions taken up at a time: a flood of them costs a millisecond a frame, and others' come in between."""

MOST_SOURCES = 64
"""Source frames that a header may have, and so the topics `exposure/N` and `mosaic/N`."""

CODECS: dict[str, tuple[Codec, ...]] = {"livemef": ("raw", "jpeg", "png"), "imagezmq": ("raw", "jpeg")}


_PICTURES = (FUSED, *(exposure_topic(index) for index in range(MOST_SOURCES)))

TOPICS = tuple(
    topic.encode()
    for topic in (
        *_PICTURES,
        *(SHARED + topic for topic in _PICTURES),
        STATUS,
        MOTION,
        EVENT,
        *(mosaic_topic(index) for index in range(MOST_SOURCES)),
    )
)


class Publisher:
    """A ZeroMQ XPUB socket: subscribers use plain SUB, and the publisher receives their subscriptions.

    Subscribers are not trusted: what they send is small or cuts them off, and only what concerns a known topic is kept.
    (What ZeroMQ itself keeps of a flood is for its process to watch: see `memory_guard`.)

    endpoint: `pub+bind:tcp://127.0.0.1:5556`, `pub+bind:ipc:///run/x` ...; codec: raw, jpeg or png; wire:
    livemef or imagezmq. An endpoint that other machines can reach needs keys (docs/security.md) or `insecure`. Raises
    FusionError for an endpoint that is wrong, in use, or would be open to all. Not thread-safe.
    """

    def __init__(
        self,
        endpoint: str,
        codec: str = "raw",
        wire: str = "livemef",
        *,
        insecure: bool = False,
        keys: KeyFolder | None = None,
    ) -> None:
        self._codec, self._wire = _checked_codec(codec, wire), wire
        self._imagezmq = wire == "imagezmq"
        self._subscribed: set[bytes] = set()
        self._asked: dict[str, tuple[bool, bool]] = {}
        """By topic, whether anybody has subscribed to it by socket, and by shared memory: as far as it is known."""
        self._buffers = BufferPool(BUFFERS)
        self._lent: Buffer | None = None
        self._rings: dict[str, PictureRing] = {}
        """Shared memory, by topic, for those who have asked for it."""
        self._of_fused: tuple[Header | None, bytes] = None, b""
        """The last fused picture's header as it was given, and as it was sent."""
        self.stream = secrets.token_hex(8)
        self.published = 0
        self.dropped = 0
        self._events = 0
        parsed = parse_endpoint(endpoint, "pub")
        self._context = zmq.Context()
        self._socket = _open_socket(self._context)
        self._security: PublisherSecurity | None = None
        try:
            self._security = PublisherSecurity(
                self._socket, parsed, insecure=insecure, has_curve=not self._imagezmq, keys=keys or KeyFolder()
            )
            self._attachment = Attachment(self._socket, parsed)
        except BaseException:
            self._end(linger_ms=0)
            raise
        self.mechanism = self._security.mechanism
        """"curve": encrypted, for allowed keys only; or "plain"."""
        self.address = self._attachment.address
        """The address in use; with port 0 asked for, the port that was found."""

    @property
    def buffer_bytes(self) -> int:
        """Memory taken for payloads."""
        return self._buffers.size_bytes

    @property
    def codec(self) -> Codec:
        """Form of the pixels in messages."""
        return self._codec

    def change_codec(self, codec: str) -> None:
        """Send pixels in another form from the next picture on. Raises FusionError for one that the wire lacks."""
        self._codec = _checked_codec(codec, self._wire)

    def wanted(self, topic: str) -> bool:
        """Whether anybody has subscribed to `topic`, also by shared memory."""
        self._read_subscriptions()
        return self._asked_for(topic)

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody has subscribed to anything."""
        self._read_subscriptions()
        return bool(self._subscribed)

    def publish(self, topic: str, header: Header, pixels: Pixels, *, with_status: bool = True) -> bool:
        """Send `pixels` (BGR, height x width x 3, uint8 or uint16; copied) to the subscribers of `topic`: to those by
        shared memory first, and always raw.

        Sets the publisher's fields of `header`. with_status: `publish_status` afterwards, if the topic is "fused".
        Returns whether the picture was passed to ZeroMQ: False if nobody has subscribed, or no buffer is free (counted
        in `dropped`). Never waits. Raises FusionError for pixels that the codec cannot encode, ValueError for a header
        outside its limits.
        """
        sent = []
        if self._asked_for(topic) or self.wanted(topic):  # who has just left has the picture sent for nothing
            fields, described = self._describe(header, pixels)
            if topic == FUSED:
                self._of_fused = header, described
            if self._shared(topic):
                sent.append(self._share(topic, header, fields, described, pixels))
            if self._listened(topic):
                sent.append(self._send(topic, header, fields, described, pixels))
            self.published += any(sent)
            self.dropped += not all(sent)
        if with_status and topic == FUSED:
            self.publish_status(header, pixels)
        return any(sent)

    def publish_status(self, header: Header, like: Pixels) -> bool:
        """Send the header of a fused picture, of the shape and dtype of `like`, as "status": the same as the picture's,
        if that was sent just before. Returns whether anybody has subscribed. Never waits.
        """
        if not self.wanted(STATUS):
            return False
        sent, described = self._of_fused
        if sent is not header:
            _, described = self._describe(header, like)
        self._socket.send_multipart([STATUS.encode(), described, b""], zmq.NOBLOCK)
        return True

    def _describe(self, header: Header, pixels: Pixels) -> tuple[PublisherFields, bytes]:
        """The publisher's fields, and the header's JSON with them."""
        fields = fields_of(pixels, self._codec, self.stream, time.time_ns())
        return fields, header_json(header, fields)

    def publish_mosaic(self, topic: str, header: Header, mosaic: Mosaic) -> bool:
        """Send a raw frame (its values are copied), never compressed, to the subscribers of its topic; as `publish`."""
        if not self.wanted(topic):
            return False
        fields = fields_of_mosaic(mosaic, self.stream, time.time_ns())
        sent = self._send(topic, header, fields, header_json(header, fields), mosaic.values)
        self.published += sent
        self.dropped += not sent
        return sent

    def publish_event(self, event: str, data: Mapping[str, Any], frame_id: str = "camera") -> bool:
        """Send an event (docs/wire.md, topic `event`). Returns whether anybody has subscribed. Never waits."""
        number, self._events = self._events, self._events + 1
        if self._imagezmq or not self.wanted(EVENT):
            return False
        now_ns = time.time_ns()
        sent = StreamEvent(
            event=event, data=dict(data), seq=number, stream=self.stream, frame_id=frame_id, published_wall_ns=now_ns
        )
        self._socket.send_multipart(encode_event(sent), zmq.NOBLOCK)
        return True

    def close(self) -> None:
        """Close the socket; queued messages are sent for at most LINGER_MS. May be called twice."""
        if not self._context.closed:
            self._end(LINGER_MS)
            self._attachment.close()
            for ring in self._rings.values():
                ring.close()

    def _end(self, linger_ms: int) -> None:
        self._socket.close(linger_ms)
        if self._security is not None:
            self._security.close()
        self._context.destroy(linger=linger_ms)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked_for(self, topic: str) -> bool:
        """Whether anybody has subscribed to it, as far as subscriptions have been read."""
        return self._listened(topic) or self._shared(topic)

    def _listened(self, topic: str) -> bool:
        """Whether anybody has subscribed to it by socket."""
        return self._ways(topic)[0]

    def _shared(self, topic: str) -> bool:
        """Whether anybody has subscribed to it by shared memory. Who subscribes to everything has not."""
        return self._ways(topic)[1]

    def _ways(self, topic: str) -> tuple[bool, bool]:
        known = self._asked.get(topic)
        if known is None:
            known = self._asked[topic] = self._found_ways(topic)
        return known

    def _found_ways(self, topic: str) -> tuple[bool, bool]:
        if self._imagezmq:
            return topic == FUSED and bool(self._subscribed), False
        by_memory = {prefix for prefix in self._subscribed if prefix.startswith(SHARED.encode())}
        shared = may_share(topic) and any((SHARED + topic).encode().startswith(prefix) for prefix in by_memory)
        return any(topic.encode().startswith(prefix) for prefix in self._subscribed), shared

    def _read_subscriptions(self) -> None:
        for _ in range(REQUESTS_A_TURN):
            if not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:  # costs half of what Python's exception does
                return
            message = self._socket.recv(zmq.NOBLOCK)
            self._asked.clear()
            if message[:1] == b"\x01" and self._may_match(message[1:]):
                self._subscribed.add(message[1:])
            elif message[:1] == b"\x00":
                self._subscribed.discard(message[1:])
                self._free_rings()

    def _may_match(self, prefix: bytes) -> bool:
        """Whether anything that is ever published begins with `prefix`. (imagezmq's first part is JSON.)"""
        if self._imagezmq:
            return b"{".startswith(prefix)
        return any(topic.startswith(prefix) for topic in TOPICS)

    def room_for(self, like: Pixels) -> Pixels | None:
        """An uninitialised picture of the shape and dtype of `like` that can be published without being copied.

        It is for the topic "fused". One at a time: the same memory is given until it has been published. None where the
        codec is not raw, or no buffer is free.
        """
        if self._shared(FUSED) and like.dtype.newbyteorder("<").isnative:
            ring = self._ring_for(FUSED, like.nbytes)
            room = None if ring is None else ring.room(like)
            if room is not None:
                return room
        if self._codec != "raw" or not like.dtype.newbyteorder("<").isnative:
            return None
        if self._lent is None:
            self._lent = self._buffers.lend(like.nbytes)
        if self._lent is None:
            return None
        return self._lent.part(like.nbytes).view(like.dtype).reshape(like.shape)

    def _buffer_of(self, pixels: Pixels) -> Buffer | None:
        """The lent buffer if the picture lies there, else a free one; None if there is none."""
        lent = self._lent
        if lent is None or self._codec != "raw" or pixels.ctypes.data != lent.memory.ctypes.data:
            return self._buffers.take()
        self._lent, lent.lent = None, False
        return lent

    def _ring_for(self, topic: str, size: int) -> PictureRing | None:
        """The topic's ring with slots of so many bytes; None where memory cannot be shared."""
        ring = self._rings.get(topic)
        if ring is not None and ring.size == size:
            return ring
        if ring is not None:
            ring.close()
        try:
            self._rings[topic] = PictureRing(size, SLOTS if topic == FUSED else EXPOSURE_SLOTS)
        except CaptureError:  # readers then ask for the pictures by socket
            self._rings.pop(topic, None)
        return self._rings.get(topic)

    def _free_rings(self) -> None:
        """Let go of shared memory that nobody asks for any more."""
        for topic in [topic for topic in self._rings if not self._shared(topic)]:
            self._rings.pop(topic).close()

    def _share(self, topic: str, header: Header, fields: PublisherFields, described: bytes, pixels: Pixels) -> bool:
        if fields.codec != "raw":
            fields = replace(fields, codec="raw")
            described = header_json(header, fields)
        payload = payload_of(fields, pixels)
        ring = self._ring_for(topic, payload.nbytes)
        note = None if ring is None else ring.put(payload)
        if ring is None or note is None:
            return False
        self._socket.send_multipart([(SHARED + topic).encode(), described, note], zmq.NOBLOCK)
        ring.prepare()
        return True

    def _send(self, topic: str, header: Header, fields: PublisherFields, described: bytes, pixels: Pixels) -> bool:
        buffer = self._buffer_of(pixels)
        if buffer is None:
            return False
        payload = buffer.fill(payload_of(fields, pixels))
        head = [topic.encode(), described]
        if self._imagezmq:
            head = [imagezmq_wire.described(header.frame_id, fields, described)]
        buffer.tracker = self._socket.send_multipart([*head, payload], zmq.NOBLOCK, copy=False, track=True)
        return True


def _open_socket(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, REQUESTS_KEPT)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_REQUEST)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.TCP_MAXRT, DEAD_PEER_MS)
    return socket


def _checked_codec(codec: str, wire_name: str) -> Codec:
    if wire_name not in CODECS:
        raise FusionError(f"wire {wire_name!r} is not known: livemef or imagezmq")
    for known in CODECS[wire_name]:
        if codec == known:
            return known
    raise FusionError(f"codec {codec!r} is not known to wire {wire_name}: {', '.join(CODECS[wire_name])}")
