"""What the preview knows of the stream: an ordinary subscriber that keeps the newest of everything.

The headers (topic "status") come always; pictures only while somebody looks at them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq
import zmq.asyncio

from livemef.fusion.stream.endpoint import parse_endpoint
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.latency import after_arrival_ms, newest_exposure
from livemef.fusion.stream.shared_topics import SharedTopics
from livemef.fusion.stream.subscriber import GapCounter, may_be_shared, open_sub
from livemef.fusion.stream.wire import FUSED, MOTION, STATUS, Part, WireError, peek

PICTURE_TOPICS = (FUSED, "exposure/", MOTION)
RATE_WINDOW_S = 2.0
LATENCIES_KEPT = 60
HIGH_WATER = 16
"""Messages that may wait: about four brackets. All are taken at once and the newest kept, so none of it is delay."""

STALE_S = 2.0
"""A picture older by this is no longer shown beside the fused one, and a pipeline silent for so long is not healthy."""


@dataclass(frozen=True, slots=True)
class Received:
    """The newest message of a topic, its payload not yet decoded."""

    topic: str
    header: Header
    parts: tuple[Part, ...]
    at_s: float

    @property
    def key(self) -> tuple[str, int]:
        """Tells it from every other picture of the topic."""
        return self.header.stream, self.header.seq


class Feed:
    """The subscriber. All of it runs in one asyncio loop. Raises FusionError for a wrong endpoint."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = parse_endpoint(endpoint, "sub")
        self.counter = GapCounter()
        self.frames = 0
        self.malformed = 0
        self.header: Header | None = None
        self._began_s = self._heard_s = time.monotonic()
        self._arrivals: deque[float] = deque()
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._after_readout_ms: dict[int, deque[float]] = {}  # by the newest frame's place in the bracket, 0 = darkest
        self._pictures: dict[str, Received] = {}
        self._coming: dict[str, Received] = {}
        self._changed = asyncio.Event()
        self._watchers = 0
        self._context: zmq.asyncio.Context = zmq.asyncio.Context()
        try:
            self._socket, self._attachment = open_sub(self._context, self.endpoint, (STATUS,), HIGH_WATER)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._topics = SharedTopics(self._socket, may_be_shared(self.endpoint))

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            frames = await self._socket.recv_multipart(copy=False)
            try:
                self._note(tuple(frame.buffer for frame in frames))
            except WireError:
                self.malformed += 1

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(linger=0)
        self._attachment.close()
        self._topics.close()

    def _note(self, came: tuple[Part, ...]) -> None:
        taken = self._topics.take(came)
        parts = None if taken is None else self._topics.with_pixels(taken)
        if parts is None:
            return
        topic, header = peek(parts)
        if self._topics.again(topic, header, shared=parts is not taken):
            return
        now_s = time.monotonic()
        if topic == STATUS:
            self._note_status(header, now_s)
            return
        if topic == FUSED:
            self._note_latency(header)
        if self._watchers:  # else it was on its way when the last one left
            self._coming[topic] = Received(topic, header, tuple(parts), now_s)

    def _note_status(self, header: Header, now_s: float) -> None:
        self.counter.note(STATUS, header.stream, header.seq)
        self.header, self._heard_s = header, now_s
        self.frames += 1
        self._arrivals.append(now_s)
        if self._watchers:  # the status is the last message of a bracket: its pictures are shown together
            self._pictures |= self._coming
            self._changed.set()
            self._changed = asyncio.Event()
            self._topics.still_silent()
        self._coming.clear()
        if not self._watchers:
            self._note_latency(header)
            self._forget_older_than(header)

    def _forget_older_than(self, header: Header | None) -> None:
        """What nobody looks at is kept as long as no newer picture was made: whoever looks next sees it at once."""
        fused = self.newest_fused
        if fused is None or header is None or fused.key != (header.stream, header.seq):
            self._pictures.clear()

    def _note_latency(self, header: Header) -> None:
        now_ns = time.time_ns()
        self._latencies_ms.append((now_ns - header.timestamp_wall_ns) / 1e6)
        after_ms, exposure = after_arrival_ms(header, now_ns), newest_exposure(header)
        if after_ms is not None and exposure is not None:
            self._after_readout_ms.setdefault(exposure, deque(maxlen=LATENCIES_KEPT)).append(after_ms)

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame, or since the beginning if there was none."""
        return time.monotonic() - self._heard_s

    @property
    def fps(self) -> float:
        """Frames a second over the last RATE_WINDOW_S."""
        now_s = time.monotonic()
        while self._arrivals and now_s - self._arrivals[0] > RATE_WINDOW_S:
            self._arrivals.popleft()
        return len(self._arrivals) / min(RATE_WINDOW_S, max(now_s - self._began_s, 1e-3))

    @property
    def latency_ms(self) -> float | None:
        """Median over the newest frames, from the sensor's time to here; None before the first."""
        return float(np.median(np.array(self._latencies_ms))) if self._latencies_ms else None

    @property
    def after_readout_ms(self) -> float | None:
        """Median over the newest frames, from the last row read to here; None where that is not known."""
        spent = [ms for kept in self._after_readout_ms.values() for ms in kept]
        return float(np.median(np.array(spent))) if spent else None

    @property
    def after_readout_by_exposure_ms(self) -> dict[int, float]:
        """The same for each exposure that completed a bracket, by its place there, 0 = darkest."""
        return {index: float(np.median(np.array(kept))) for index, kept in sorted(self._after_readout_ms.items())}

    @property
    def watchers(self) -> int:
        """How many look at pictures now."""
        return self._watchers

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have pictures sent as long as this lasts."""
        self._watchers += 1
        if self._watchers == 1:
            for topic in PICTURE_TOPICS:
                self._topics.subscribe(topic)
        try:
            yield
        finally:
            self._watchers -= 1
            if self._watchers == 0:
                self._forget_older_than(self.header)
                for topic in PICTURE_TOPICS:
                    self._topics.unsubscribe(topic)

    @property
    def newest_fused(self) -> Received | None:
        """The newest fused picture, however old; None if nobody looked or none came."""
        return self._pictures.get(FUSED)

    async def fused_after(self, key: tuple[str, int] | None, timeout_s: float) -> Received | None:
        """The newest fused picture, once it is another than `key`; None if none came within `timeout_s`."""
        return await self._after(FUSED, key, timeout_s)

    async def _after(self, topic: str, key: tuple[str, int] | None, timeout_s: float) -> Received | None:
        end_s = time.monotonic() + timeout_s
        while True:
            newest, changed = self._pictures.get(topic), self._changed
            if newest is not None and newest.key != key:
                return newest
            try:
                await asyncio.wait_for(changed.wait(), end_s - time.monotonic())
            except asyncio.TimeoutError:
                return None

    async def fresh_fused(self, timeout_s: float) -> Received | None:
        """The newest fused picture if it is fresh, else the next to come; None if none came within `timeout_s`."""
        return await self.fresh(FUSED, timeout_s)

    async def fresh(self, topic: str, timeout_s: float) -> Received | None:
        """The same of any topic."""
        newest = self._pictures.get(topic)
        if newest is not None and time.monotonic() - newest.at_s < STALE_S:
            return newest
        return await self._after(topic, None if newest is None else newest.key, timeout_s)

    def beside(self) -> list[Received]:
        """What is shown beside the fused picture, without what has fallen behind it: the newest source frames, dark to
        bright, then the motion mask."""
        fused = self.newest_fused
        if fused is None:
            return []
        found = [one for topic, one in self._pictures.items() if topic != FUSED and fused.at_s - one.at_s < STALE_S]
        return sorted(found, key=lambda one: (one.topic == MOTION, len(one.topic), one.topic))

    def stats(self) -> dict[str, Any]:
        """What page, health check and metrics tell of the stream."""
        return {
            "frames": self.frames,
            "fps": round(self.fps, 2),
            "latency_ms": None if self.latency_ms is None else round(self.latency_ms, 2),
            "after_readout_ms": None if self.after_readout_ms is None else round(self.after_readout_ms, 2),
            "after_readout_by_exposure_ms": {
                str(index): round(spent, 2) for index, spent in self.after_readout_by_exposure_ms.items()
            },
            "gaps": self.counter.gaps,
            "restarts": self.counter.restarts,
            "malformed": self.malformed,
            "silent_s": round(self.silent_s, 3),
        }
