"""The fusion process: ring -> fuser -> publisher. It fuses the newest bracket; older ones are dropped and counted."""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from livemef.capture.child import Command, Lifeline, run_child
from livemef.capture.errors import CaptureError
from livemef.capture.frame import FrameRecord, Pixels
from livemef.capture.transport.slot_link import Caller
from livemef.engine.errors import EngineError
from livemef.fusion.bracket_fuser import moments_of
from livemef.fusion.bracket_receiver import Delivery, Inbox
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.errors import FusionError
from livemef.fusion.freed_memory import keep_freed_memory
from livemef.fusion.fuser import Fused, Fuser, Pending
from livemef.fusion.memory_guard import guard_of_this_machine, private_memory
from livemef.fusion.motion.compensation import MotionReport
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.patience import Patience
from livemef.fusion.pauses import Pauses
from livemef.fusion.picture_correction import BracketCorrection
from livemef.fusion.settings import FusionSettings
from livemef.fusion.stream.header import (
    Header,
    Pipeline,
    bracket_header,
    clock_now_ns,
    exposure_header,
    motion_of,
    present_wall_time,
)
from livemef.fusion.stream.latency import before_arrival_ms
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.wire import EVENT, FUSED, MOTION, exposure_topic, mosaic_topic
from livemef.fusion.tally import Tally

TURN_S = 0.5
"""Longest wait for a bracket or a command."""

PROGRESS_PERIOD_S = 5.0

_LOG = logging.getLogger(__name__)

AFTER_CUDA = " (cuda failed)"
"""Suffix of the header's `device` when the CPU has replaced a failed CUDA device."""


@dataclass(frozen=True)
class Outlet:
    """An output of the process: endpoint to publish on, `codec` (raw, jpeg, png), `wire` (livemef, imagezmq).

    insecure: subscribers off this machine need no keys.
    """

    endpoint: str
    codec: str = "raw"
    wire: str = "livemef"
    insecure: bool = False


@dataclass(frozen=True)
class FusionJob:
    """What the process works with. `link`: fusion's end of the socket pair with capture. `frames`: end after
    publishing so many; None = never. `response`: of the pictures that are fused, as in KnownCamera, None = not
    measured. `correction`: applied to each exposure before; the exposures are published as they came. For the headers:
    `profile`, the camera profile in force ("" = none), `frame_id`, `settings_rev`.
    """

    link: socket.socket
    outlets: tuple[Outlet, ...]
    settings: FusionSettings
    model: str = "cbm"
    device: str = "auto"
    threads: int | None = None
    bracket_mode: str = "sliding"
    frames: int | None = None
    after_cuda: bool = False
    """`device` is the CPU because CUDA failed in earlier runs of this process."""
    profile: str = ""
    frame_id: str = "camera"
    settings_rev: int = 0
    response: tuple[tuple[float, ...], ...] | None = None
    correction: CameraCorrection | None = None


@dataclass
class _Started:
    """A delivery under fusion. began_ns: start, CLOCK_MONOTONIC. before_ms: milliseconds by stage, before fusing.
    picture: whether one is made, since somebody had subscribed to it then.
    """

    delivery: Delivery
    pending: Pending
    began_ns: int
    before_ms: dict[str, float]
    picture: bool


@dataclass(frozen=True)
class Change:
    """What is to change while the process runs, as the values of its command `change`; None = stays as it is.

    settings_rev: revision of the live settings from then on.
    """

    settings_rev: int
    settings: FusionSettings | None = None
    codec: str | None = None
    bracket_mode: str | None = None


class _Stage:
    """Fuses deliveries and publishes the results on all outputs."""

    def __init__(self, fuser: Fuser, publishers: Iterable[Publisher], tally: Tally, job: FusionJob) -> None:
        self._fuser, self._publishers, self._job = fuser, list(publishers), job
        self._settings, self._settings_rev = fuser.settings.as_dict(), job.settings_rev
        self.bracket_mode = job.bracket_mode
        self._device = fuser.device + (AFTER_CUDA if job.after_cuda else "")
        self._outputs: list[Pixels] = []  # one for each bracket in flight is enough: publishers copy
        self._correction = None if job.correction is None else BracketCorrection(job.correction)
        self._memory = guard_of_this_machine()
        self._before: tuple[FrameRecord, ...] = ()
        """The records of the bracket before."""
        self.tally = tally

    def change(self, change: Change) -> None:
        """To be called while no bracket is under fusion. Raises FusionError or EngineError, and nothing has changed."""
        if change.codec is not None:
            before = self._publishers[0].codec
            self._publishers[0].change_codec(change.codec)
        try:
            if change.settings is not None:
                self._fuser.change(change.settings)
        except (FusionError, EngineError):
            if change.codec is not None:
                self._publishers[0].change_codec(before)
            raise
        self._settings, self._settings_rev = self._fuser.settings.as_dict(), change.settings_rev
        self.bracket_mode = change.bracket_mode or self.bracket_mode

    def publish_event(self, event: str, data: Mapping[str, Any]) -> None:
        """Send an event of the pipeline on all outputs."""
        for publisher in self._publishers:
            publisher.publish_event(event, data, self._job.frame_id)

    def check_memory(self) -> None:
        """Raises FusionError where this process has grown too far."""
        now_s = time.monotonic()
        if self._memory.due(now_s):
            held = sum(publisher.buffer_bytes for publisher in self._publishers)
            self._memory.check(now_s, private_memory(), held)

    @property
    def in_flight(self) -> int:
        """Number of brackets that the fuser processes concurrently."""
        return self._fuser.in_flight

    def start(self, delivery: Delivery) -> _Started:
        """Start to fuse a bracket. Raises FusionError."""
        self.tally.brackets += 1
        began_ns = time.monotonic_ns()
        picture = any(publisher.wanted(FUSED) for publisher in self._publishers)
        buffer = self._output_for(delivery.pixels[0]) if picture else self._own_output(delivery.pixels[0])
        moments = moments_of(delivery.bracket, self._job.response)
        exposures, before_ms = delivery.pixels, {}
        if self._correction is not None:
            exposures = self._correction.exposures(delivery.bracket, exposures)
            before_ms = {"correct": (time.monotonic_ns() - began_ns) / 1e6}
        pending = self._fuser.begin(exposures, buffer, moments, picture)
        return _Started(delivery, pending, began_ns, before_ms, picture)

    def finish(self, started: _Started) -> None:
        """Wait for the fused picture and publish it. Raises FusionError."""
        delivery, fused = started.delivery, started.pending.finish()
        self.tally.fused += 1
        unsent = self._publish(started, fused) if any(one.has_subscribers for one in self._publishers) else False
        self._before = delivery.bracket.records
        self.tally.unsent += unsent
        self.tally.published += 1 - unsent
        self.tally.ev_gap = delivery.bracket.ev_gap
        latency_ms = (time.time_ns() - present_wall_time(delivery.bracket.newest)[0]) / 1e6
        self.tally.note(time.monotonic(), latency_ms, sum(fused.stages_ms.values()))

    def _publish(self, started: _Started, fused: Fused) -> bool:
        """Returns whether the first output had no free buffer for the picture."""
        header = self._header(started, fused)
        # the picture first: whoever waits for it need not wait for the rest
        unsent = [started.picture and self._send_picture(publisher, header, fused) for publisher in self._publishers]
        for publisher in self._publishers:
            self._send_rest(publisher, header, fused, started.delivery)
        return unsent[0]

    def _output_for(self, like: Pixels) -> Pixels:
        """Memory for the next picture; if the device can write there, from which the first output sends it."""
        room = self._publishers[0].room_for(like) if self._fuser.writes_anywhere else None
        return self._own_output(like) if room is None else room

    def _own_output(self, like: Pixels) -> Pixels:
        if not self._outputs or self._outputs[0].shape != like.shape or self._outputs[0].dtype != like.dtype:
            self._outputs = [self._fuser.buffer_for(like) for _ in range(self.in_flight)]
        self._outputs.append(self._outputs.pop(0))
        return self._outputs[-1]

    def page_locked(self, inbox: Inbox) -> AbstractContextManager[None]:
        """Context in which the device reads the inbox's pixels in place, see Fuser.page_locked."""
        return self._fuser.page_locked(inbox.memory())

    def _header(self, started: _Started, fused: Fused) -> Header:
        delivery, newest = started.delivery, started.delivery.bracket.newest
        stages = before_arrival_ms(newest, time.monotonic_ns(), clock_now_ns(newest.clock))
        stages |= {"wait": (started.began_ns - newest.received_ns) / 1e6} | started.before_ms | fused.stages_ms
        return bracket_header(
            delivery.bracket,
            self.tally.fused - 1,
            frame_id=self._job.frame_id,
            latency_ms=stages,
            model_sha256=self._fuser.model_sha256,
            device=self._device,
            fusion=self._settings,
            settings_rev=self._settings_rev,
            motion=motion_of(fused.motion),
            profile=self._job.profile,
            correction=() if self._job.correction is None else self._job.correction.applied,
            pipeline=_pipeline(delivery.counters, self.tally),
        )

    def _send_picture(self, publisher: Publisher, header: Header, fused: Fused) -> bool:
        """Publish the picture. Returns True if it was dropped because no buffer was free."""
        dropped_before = publisher.dropped
        publisher.publish(FUSED, header, fused.pixels, with_status=False)
        return publisher.dropped > dropped_before

    def _send_rest(self, publisher: Publisher, header: Header, fused: Fused, delivery: Delivery) -> None:
        """Publish the picture's new exposures and its ghost mask; at last its status, which says that all was sent."""
        # Exposures that were with the bracket before are not published again. Where fusion takes every second frame of
        # an alternating pair, each bracket has two new ones: to publish the newest alone would show one exposure only.
        for index, record in enumerate(delivery.bracket.records):
            if record in self._before:
                continue
            topic, mosaic = exposure_topic(index), delivery.mosaics[index]
            if mosaic is not None and publisher.wanted(mosaic_topic(index)):
                publisher.publish_mosaic(mosaic_topic(index), exposure_header(header, index), mosaic)
            if publisher.wanted(topic):
                publisher.publish(topic, exposure_header(header, index), delivery.pixels[index])
        if fused.motion is not None and publisher.wanted(MOTION):
            publisher.publish(MOTION, header, mask_picture(fused.motion))
        publisher.publish_status(header, fused.pixels)


def mask_picture(report: MotionReport) -> Pixels:
    """The ghost mask as BGR uint8, one pixel a cell: 255 where the picture shows the reference exposure alone."""
    return np.repeat(np.rint(255 * report.mask).astype(np.uint8)[..., None], 3, axis=2)


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


class _ProgressReporter:
    """Progress reporter: heartbeat at each call, logs every PROGRESS_PERIOD_S."""

    def __init__(self, lifeline: Lifeline, tally: Tally) -> None:
        self._lifeline, self._tally = lifeline, tally
        self._logged_s = 0.0

    def __call__(self, line: str) -> None:
        """Send a heartbeat, and log the line if the last one is old enough."""
        now = time.monotonic()
        self._lifeline.beat(**self._tally.values(now))
        if now >= self._logged_s + PROGRESS_PERIOD_S:
            self._logged_s = now
            _LOG.info(line)


def _run(job: FusionJob, lifeline: Lifeline) -> Mapping[str, Any]:
    tally = Tally()
    with lifeline.opening("opening the network"):
        fuser = open_fuser(job.settings, job.model, job.device, job.threads, _ProgressReporter(lifeline, tally))
    publishers: list[Publisher] = []
    caller = Caller(job.link)
    try:
        for outlet in job.outlets:
            publishers.append(Publisher(outlet.endpoint, outlet.codec, outlet.wire, insecure=outlet.insecure))
        stage = _Stage(fuser, publishers, tally, job)
        ready = False
        while not lifeline.stopping and not _enough(job, stage.tally):
            lifeline.beat(**stage.tally.values(time.monotonic()))
            stage.check_memory()
            _obey(lifeline, stage)
            inbox = Inbox.connect(caller, stage.bracket_mode, TURN_S)
            if inbox is None:
                continue
            if not ready:
                ready = True
                lifeline.ready(device=fuser.device, model_sha256=fuser.model_sha256, publish=publishers[0].address)
            ended = _serve(job, inbox, stage, lifeline)
            if ended:
                break
        return stage.tally.values(time.monotonic())
    finally:
        caller.close()
        for publisher in publishers:
            publisher.close()


def _serve(job: FusionJob, inbox: Inbox, stage: _Stage, lifeline: Lifeline) -> bool:
    """Fuse the brackets of one connection to the capture process. Returns True if the source has ended."""
    try:
        with stage.page_locked(inbox):
            return _serve_all(job, inbox, stage, lifeline)
    finally:
        inbox.close()


def _changes(lifeline: Lifeline, stage: _Stage) -> list[Command]:
    """What the supervisor has asked to change. Events, which it sends to be published, are so at once."""
    commands = lifeline.commands()
    for command in commands:
        if command.name == EVENT:
            stage.publish_event(**command.values)
    return [command for command in commands if command.name != EVENT]


def _obey(lifeline: Lifeline, stage: _Stage, commands: Iterable[Command] = ()) -> None:
    """Carry out what the supervisor has asked for, and answer it. Brackets under fusion must be finished before."""
    for command in commands or _changes(lifeline, stage):
        try:
            with lifeline.opening("changing settings"):
                stage.change(Change(**command.values))
        except (FusionError, EngineError) as error:
            lifeline.answer(command, str(error))
        else:
            lifeline.answer(command)


def _serve_all(job: FusionJob, inbox: Inbox, stage: _Stage, lifeline: Lifeline) -> bool:
    under_way: deque[_Started] = deque()
    patience, pauses = Patience(lifeline), Pauses()
    waiting: list[Command] = []
    while not lifeline.stopping and not _enough(job, stage.tally):
        if lifeline.beat_due:
            lifeline.beat(**stage.tally.values(time.monotonic()))
        stage.check_memory()
        waiting += _changes(lifeline, stage)
        if waiting and not under_way:
            _obey(lifeline, stage, waiting)
            waiting.clear()
            inbox.group_by(stage.bracket_mode)
        if not waiting and not under_way:
            inbox.wait(lifeline.fileno(), TURN_S)
        delivery = None if waiting else inbox.take()
        stage.tally.superseded += inbox.take_superseded()
        stage.tally.unmatched += inbox.take_unmatched()
        if delivery is not None:
            with patience.step():
                under_way.append(stage.start(delivery))
        # The next bracket is started before the last one is published, but only if it has arrived already.
        if under_way and (delivery is None or len(under_way) == stage.in_flight):
            started = under_way.popleft()
            with patience.step():
                stage.finish(started)
            inbox.give_back(started.delivery)
            if not under_way and not inbox.waiting:
                pauses.use()
        elif delivery is None and (inbox.ended or inbox.lost):
            return inbox.ended
    return False


def _enough(job: FusionJob, tally: Tally) -> bool:
    return job.frames is not None and tally.published >= job.frames


def main(pipe: Connection, parent_pid: int, job: FusionJob) -> None:
    """Main function of the process."""
    keep_freed_memory()
    with job.link:
        run_child(pipe, parent_pid, (CaptureError, EngineError, FusionError), lambda lifeline: _run(job, lifeline))
