"""The fusion process: ring -> fuser -> publisher. Newest wins: what it has no time for is released and counted."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from capture.child import Lifeline, run_child
from capture.errors import CaptureError
from capture.frame import Bracket, Pixels
from engine.errors import EngineError
from fusion.errors import FusionError
from fusion.fuser import Fused, Fuser, FusionSettings, open_fuser
from fusion.inbox import Delivery, Inbox
from fusion.motion.compensation import Moments
from fusion.stream.header import Header, Pipeline, bracket_header, exposure_header
from fusion.stream.publisher import Publisher
from fusion.stream.wire import exposure_topic

RATE_WINDOW_S = 2.0
TURN_S = 0.2


@dataclass(frozen=True)
class Outlet:
    """A place where fused frames go. `codec`: raw, jpeg, png; `wire`: livemef, imagezmq."""

    endpoint: str
    codec: str = "raw"
    wire: str = "livemef"


@dataclass(frozen=True)
class FusionJob:
    """All that the process is told. `frames`: end after publishing so many; None = never. `link`: the link's name.

    `profile`: which camera profile is in force, for the headers; "" = none.
    """

    link: str
    outlets: tuple[Outlet, ...]
    settings: FusionSettings
    model: str = "cbm"
    device: str = "auto"
    threads: int | None = None
    bracket_mode: str = "sliding"
    frames: int | None = None
    profile: str = ""


@dataclass
class Tally:
    """Counters and recent measurements of one life of the process.

    `unsent`: frames for which the first outlet had no buffer left. `published`: all others, heard by anybody or not.
    """

    brackets: int = 0
    superseded: int = 0
    fused: int = 0
    published: int = 0
    unsent: int = 0
    ev_gap: float | None = None
    recent: deque[tuple[float, float, float]] = field(default_factory=deque)  # when, latency ms, fuse ms

    def note(self, now_s: float, latency_ms: float, fuse_ms: float) -> None:
        """One fused frame has left."""
        self.recent.append((now_s, latency_ms, fuse_ms))
        self.forget(now_s)

    def forget(self, now_s: float) -> None:
        """Drop measurements older than the window."""
        while self.recent and self.recent[0][0] < now_s - RATE_WINDOW_S:
            self.recent.popleft()

    def values(self, now_s: float) -> dict[str, Any]:
        """What the supervisor is told."""
        self.forget(now_s)
        counters = {
            "brackets": self.brackets,
            "superseded": self.superseded,
            "fused": self.fused,
            "published": self.published,
            "unsent": self.unsent,
        }
        if len(self.recent) < 2:
            return counters | {"fps": 0.0, "latency_ms": None, "fuse_ms": None, "ev_gap": self.ev_gap}
        times, latencies, fuse_times = zip(*self.recent, strict=True)
        return counters | {
            "fps": (len(times) - 1) / max(times[-1] - times[0], 1e-9),
            "latency_ms": statistics.median(latencies),
            "fuse_ms": statistics.median(fuse_times),
            "ev_gap": self.ev_gap,
        }


class _Stage:
    """Fuses deliveries and sends the results."""

    def __init__(self, fuser: Fuser, publishers: Iterable[Publisher], profile: str) -> None:
        self._fuser, self._publishers, self._profile = fuser, list(publishers), profile
        self._settings = fuser.settings.as_dict()
        self._out: Pixels | None = None  # the publishers copy, so one picture's room serves them all
        self.tally = Tally()

    def process(self, delivery: Delivery) -> None:
        """One bracket to one published picture."""
        self.tally.brackets += 1
        began_ns = time.monotonic_ns()
        fused = self._fuser.fuse(delivery.pixels, self._room_for(delivery.pixels[0]), moments_of(delivery.bracket))
        self.tally.fused += 1
        header = self._header(delivery, fused, began_ns)
        unsent = [self._send(publisher, header, fused, delivery) for publisher in self._publishers]
        self.tally.unsent += unsent[0]
        self.tally.published += 1 - unsent[0]
        self.tally.ev_gap = delivery.bracket.ev_gap
        latency_ms = (time.time_ns() - header.timestamp_wall_ns) / 1e6
        self.tally.note(time.monotonic(), latency_ms, sum(fused.stages_ms.values()))

    def _room_for(self, like: Pixels) -> Pixels:
        if self._out is None or self._out.shape != like.shape or self._out.dtype != like.dtype:
            self._out = np.empty(like.shape, like.dtype)
        return self._out

    def _header(self, delivery: Delivery, fused: Fused, began_ns: int) -> Header:
        newest = delivery.bracket.newest
        stages = {"wait": (began_ns - newest.received_ns) / 1e6} | fused.stages_ms
        return bracket_header(
            delivery.bracket,
            self.tally.fused - 1,
            latency_ms=stages,
            model_sha256=self._fuser.model_sha256,
            device=self._fuser.device,
            fusion=self._settings,
            profile=self._profile,
            pipeline=_pipeline(delivery.counters, self.tally),
        )

    def _send(self, publisher: Publisher, header: Header, fused: Fused, delivery: Delivery) -> int:
        """1 if the fused picture had to be dropped because every buffer was still in flight, else 0."""
        # Of the exposures only the newest is new: the others left with the bracket before.
        index = delivery.bracket.records.index(delivery.bracket.newest)
        topic = exposure_topic(index)
        if publisher.wanted(topic):
            publisher.publish(topic, exposure_header(header, index), delivery.pixels[index])
        dropped_before = publisher.dropped
        publisher.publish("fused", header, fused.pixels)
        return publisher.dropped - dropped_before


def moments_of(bracket: Bracket) -> Moments:
    """What the fuser is told of a bracket: the picture shows the moment of its newest frame."""
    exposures = [record.exposure for record in bracket.records]
    known = [exposure.light for exposure in exposures if exposure is not None]
    lights = tuple(known) if len(known) == len(exposures) else None
    return Moments(lights, bracket.records.index(bracket.newest))


def _pipeline(counters: Mapping[str, int], tally: Tally) -> Pipeline:
    lost = counters.get("dropped", 0) + counters.get("not_taken", 0) + tally.superseded
    return Pipeline(
        captured=counters.get("captured", 0),
        labelled=counters.get("labelled", 0),
        transitional=counters.get("transitional", 0),
        dropped=lost,
        fused=tally.fused,
        published=tally.published,
    )


def _run(job: FusionJob, lifeline: Lifeline) -> Mapping[str, Any]:
    fuser = open_fuser(job.settings, job.model, job.device, job.threads)
    publishers: list[Publisher] = []
    try:
        for outlet in job.outlets:
            publishers.append(Publisher(outlet.endpoint, codec=outlet.codec, wire=outlet.wire))
        stage = _Stage(fuser, publishers, job.profile)
        lifeline.ready(device=fuser.device, model_sha256=fuser.model_sha256)
        while not lifeline.stopping and not _enough(job, stage.tally):
            lifeline.beat(**stage.tally.values(time.monotonic()))
            inbox = Inbox.connect(job.link, job.bracket_mode, TURN_S)
            if inbox is None:
                continue
            ended = _serve(job, inbox, stage, lifeline)
            if ended:
                break
        return stage.tally.values(time.monotonic())
    finally:
        for publisher in publishers:
            publisher.close()


def _serve(job: FusionJob, inbox: Inbox, stage: _Stage, lifeline: Lifeline) -> bool:
    """Fuse what one life of the capture process sends. True if it said that there is no more."""
    try:
        while not lifeline.stopping and not _enough(job, stage.tally):
            lifeline.beat(**stage.tally.values(time.monotonic()))
            delivery = inbox.take(TURN_S)
            stage.tally.superseded += inbox.take_superseded()
            if delivery is not None:
                stage.process(delivery)
                inbox.give_back(delivery)
            elif inbox.ended or inbox.lost:
                return inbox.ended
        return False
    finally:
        inbox.close()


def _enough(job: FusionJob, tally: Tally) -> bool:
    return job.frames is not None and tally.published >= job.frames


def main(pipe: Connection, parent_pid: int, job: FusionJob) -> None:
    """Entry of the process."""
    run_child(pipe, parent_pid, (CaptureError, EngineError, FusionError), lambda lifeline: _run(job, lifeline))
