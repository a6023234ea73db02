"""A model sensor with known true exposures, and a run of the controller and the grouper on it."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from livemef.capture.bracketing.controller import BracketingController, Delays
from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.cameras.base import CameraLimits
from livemef.capture.frame import Bracket, Exposure, FrameRecord
from livemef.capture.srgb import encode

LIMITS = CameraLimits(100.0, 33_000.0, 10.0, 1.0, 16.0)
START_UP = 180
"""Frames after which frames must be labelled: two measurements of the delay (65 frames each at most) and a margin."""
PLANS = {
    "pair": (Exposure(1000.0), Exposure(16000.0)),
    "near pair": (Exposure(4000.0), Exposure(6000.0)),
    "by gain": (Exposure(4000.0, 1.0), Exposure(4000.0, 8.0)),
    "time and gain": (Exposure(1000.0, 1.0), Exposure(8000.0, 4.0)),
    "gain against time": (Exposure(1000.0, 2.0), Exposure(16000.0, 1.0)),
    "three": (Exposure(500.0), Exposure(3000.0), Exposure(16000.0)),
    "four": (Exposure(250.0), Exposure(1000.0), Exposure(4000.0), Exposure(16000.0)),
}


@dataclass
class Faults:
    """Probabilities of faults per frame or request, and the sensor's limits."""

    drop: float = 0.0
    duplicate: float = 0.0
    ignore: float = 0.0
    jump: float = 0.0
    drift: float = 0.0
    deaf: bool = False
    longest_us: float = math.inf
    jitter_ns: float = 0.0


@dataclass
class ModelSensor:
    """Exposure and gain take effect with delays of their own; requests are ignored, frames lost, and the light changes.

    A jump of the light in the very frame where a request was ignored can look, to the last digit, like an obeyed
    request: no method that has brightness alone and may not wait can tell. So the light does not jump while an ignored
    request has its effect; requests may well be ignored after a jump.
    """

    seed: int
    delays: Delays
    reports: bool
    faults: Faults = field(default_factory=Faults)
    light: float = 1.0
    truth: dict[int, Exposure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.patches = np.exp2(np.random.default_rng(self.seed).uniform(-8.0, 2.0, 64)) / 6000.0
        self.sequence = 99
        self.clock_offset_ns = 0
        self.requests = deque([(-1000, Exposure(2222.0, 1.0))], maxlen=40)
        self.jump = 1.0
        self.no_jump_before = 0
        self.last: tuple[FrameRecord, float] | None = None

    def request(self, exposure: Exposure) -> None:
        if self.faults.deaf:
            return
        if self.random.random() < self.faults.ignore:
            self.no_jump_before = self.sequence + 12
            return
        self.requests.append((self.sequence, exposure))

    def delivered(self, exposure: Exposure) -> Exposure:
        return Exposure(min(exposure.exposure_us, self.faults.longest_us), exposure.gain)

    def read(self) -> tuple[FrameRecord, float]:
        if self.last is not None and self.random.random() < self.faults.duplicate:
            return self.last
        while True:
            self.sequence += 1
            self._move_light()
            self.truth[self.sequence] = self._in_force()
            if self.random.random() >= self.faults.drop:
                break
        self.last = self._frame(self.truth[self.sequence])
        return self.last

    def _in_force(self) -> Exposure:
        time_us = self._requested(self.delays.exposure).exposure_us
        return self.delivered(Exposure(time_us, self._requested(self.delays.gain).gain))

    def _requested(self, delay: int) -> Exposure:
        return next(e for made, e in reversed(self.requests) if made + delay + 1 <= self.sequence)

    def _move_light(self) -> None:
        if self.sequence >= self.no_jump_before and self.random.random() < self.faults.jump:
            factor = 2.0 ** self.random.uniform(0.3, 3.0)
            self.jump = self.jump / factor if self.jump > 1.0 else self.jump * factor
        slow = 1.0 + self.faults.drift * math.sin(self.sequence / 60.0)
        self.light_now = self.light * self.jump * slow

    def _frame(self, exposure: Exposure) -> tuple[FrameRecord, float]:
        linear = np.minimum(self.patches * self.light_now * exposure.light, 1.0)
        encoded = encode(linear)
        brightness = float(encoded.mean()) + self.random.gauss(0.0, 0.0004)
        granularity = 1.0 + self.random.uniform(-0.01, 0.01)
        return FrameRecord(
            sequence=self.sequence,
            timestamp_ns=self.clock_offset_ns
            + int(self.sequence * 33_333_333 + self.random.gauss(0.0, self.faults.jitter_ns)),
            clock="monotonic",
            received_ns=self.sequence * 33_333_333,
            measured=replace(exposure, exposure_us=exposure.exposure_us * granularity) if self.reports else None,
        ), min(max(brightness, 0.0), 1.0)


@dataclass
class Outcome:
    brackets: list[Bracket]
    kept: list[FrameRecord]
    delivered: list[int]


def controller_for(sensor: ModelSensor, plan: tuple[Exposure, ...], stated: Delays) -> BracketingController:
    return BracketingController(plan, LIMITS, stated, sensor.reports)


def run(sensor: ModelSensor, controller: BracketingController, frames: int) -> Outcome:
    grouper: BracketGrouper[int] = BracketGrouper()
    outcome = Outcome([], [], [])
    for _ in range(frames):
        record, level = sensor.read()
        decision = controller.on_frame(record, None if sensor.reports else level)
        if decision.request is not None:
            sensor.request(decision.request)
        if not outcome.delivered or record.sequence != outcome.delivered[-1]:
            outcome.delivered.append(record.sequence)
        if decision.keep:
            outcome.kept.append(decision.record)
            bracket = grouper.push(decision.record, record.sequence).bracket
            if bracket is not None:
                outcome.brackets.append(bracket)
    return outcome


def wrong_labels(sensor: ModelSensor, plan: tuple[Exposure, ...], brackets: list[Bracket]) -> list[FrameRecord]:
    records = {record.sequence: record for bracket in brackets for record in bracket.records}
    return [r for r in records.values() if sensor.truth[r.sequence] != sensor.delivered(plan[r.index])]


def formable(sensor: ModelSensor, plan: tuple[Exposure, ...], delivered: list[int]) -> set[int]:
    """Frames that could have completed a bracket, by the truth.

    A frame after the start-up that arrived, that was exposed as a member of the plan, and for which a frame of each
    other member arrived among the 2 * members frame numbers before it. Frames at which requests were ignored, or the
    light jumped, count as well.
    """
    index_of = {sensor.delivered(exposure): index for index, exposure in enumerate(plan)}
    newest: dict[int, int] = {}
    result = set()
    for position, sequence in enumerate(delivered):
        index = index_of.get(sensor.truth[sequence])
        if index is None:
            continue
        newest[index] = sequence
        complete = len(newest) == len(plan) and sequence - min(newest.values()) <= 2 * len(plan)
        if complete and position >= START_UP:
            result.add(sequence)
    return result
