"""Receiving as a loop: `for message in subscribe(endpoint)`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from livemef.fusion.stream.codecs import LARGEST_PICTURE
from livemef.fusion.stream.stream_event import StreamEvent
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from livemef.fusion.stream.wire import FUSED, Message, WireError

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5556"
"""Where `livemef run` publishes if nothing else is asked for."""


@dataclass(frozen=True)
class Missed:
    """What was sent, or came, and was not received. gaps: messages missing within the stream; malformed: unreadable."""

    gaps: int
    malformed: int


class Subscription:
    """Messages of a stream, one by one. Use it as a context manager, or call `close`. Not thread-safe.

    Iteration waits for the publisher, also when it comes back after a restart, and ends only with ReceiveTimeout.
    """

    def __init__(self, subscriber: Subscriber, timeout_s: float, newest: bool) -> None:
        self._subscriber, self._timeout_s, self._newest = subscriber, timeout_s, newest
        self._malformed = 0

    @property
    def missed(self) -> Missed:
        """What was missed so far."""
        return Missed(self._subscriber.counter.gaps, self._malformed)

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        """The next message that can be read. Raises ReceiveTimeout."""
        deadline, left_s = time.monotonic() + self._timeout_s, self._timeout_s
        while True:
            try:
                message = self._subscriber.receive(left_s, self._newest)
            except WireError:
                self._malformed += 1
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise ReceiveTimeout(f"nothing but malformed messages within {self._timeout_s:g} s") from None
                continue
            message.pixels.flags.writeable = False
            return message

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        """As `__next__`, while other tasks of the event loop go on. May be cancelled. Raises ReceiveTimeout."""
        deadline = time.monotonic() + self._timeout_s
        while await self._subscriber.ready(max(0.0, deadline - time.monotonic())):
            try:
                message = self._subscriber.receive(0, self._newest)
            except WireError:
                self._malformed += 1
                continue
            except ReceiveTimeout:  # it was an event
                continue
            message.pixels.flags.writeable = False
            return message
        raise self._subscriber.silence(self._timeout_s)

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._subscriber.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def subscribe(
    endpoint: str = DEFAULT_ENDPOINT,
    topics: Sequence[str] = (FUSED,),
    *,
    timeout_s: float = 10.0,
    newest: bool = False,
    most_pixels: int = LARGEST_PICTURE,
    on_event: Callable[[StreamEvent], None] | None = None,
    shared_memory: bool = True,
) -> Subscription:
    """Receive what a livemef publishes, on this machine or another.

    endpoint: `tcp://HOST:PORT` or `ipc:///PATH`; the publisher may come later. topics: "fused", "exposure/0" (the
    darkest) ..., "motion". timeout_s: longest wait for a message. newest: skip what has already been overtaken, for a
    receiver that is slower than the camera; what is skipped counts as missed. most_pixels: limit of a picture's width x
    height; pictures that claim more are refused before they cost memory. on_event: called while iterating with each
    event of the pipeline (settings changed, a process restarted ...: docs/control.md), as a StreamEvent. shared_memory:
    on the publisher's machine pictures come through it where they can (docs/wire.md), not copied as long as two at most
    are held; who is then behind by more than three pictures gets a later one. False = always by socket, whose queue is
    a little longer.

    Iterating, by `for` or `async for`, gives messages: `frame.image` (BGR, height x width x 3, uint8 or uint16,
    read-only), `frame.stamp` (Unix time in s), `frame.exposures`, `frame.motion`, `frame.missed`, and `frame.header`
    with all there is (docs/wire.md). Raises FusionError for a wrong endpoint, and ReceiveTimeout while iterating.

        with livemef.subscribe() as frames:
            for frame in frames:
                print(frame.header.seq, frame.image.shape)
    """
    subscriber = Subscriber(endpoint, topics, most_pixels=most_pixels, on_event=on_event, shared_memory=shared_memory)
    return Subscription(subscriber, timeout_s, newest)
