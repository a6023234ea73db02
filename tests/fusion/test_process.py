"""How long the fusion process may be busy with a bracket before it counts as hung; which frames it publishes."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from livemef.capture.frame import Bracket, Exposure, FrameRecord, Pixels, Verdict
from livemef.fusion import process
from livemef.fusion.bracket_receiver import Delivery
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.process import FusionJob
from livemef.fusion.settings import FusionSettings
from livemef.fusion.stream.header import Header
from livemef.fusion.tally import Tally


class Clock:
    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Beating:
    def __init__(self) -> None:
        self.limits: list[float] = []

    @contextlib.contextmanager
    def opening(self, state: str, limit_s: float) -> Iterator[None]:
        self.limits.append(limit_s)
        yield


def limits(monkeypatch: pytest.MonkeyPatch, *steps_s: float) -> list[float]:
    clock, beating = Clock(), Beating()
    monkeypatch.setattr(process, "time", clock)
    patience = process._Patience(cast(Any, beating))
    for step_s in steps_s:
        with patience.step():
            clock.now_s += step_s
    return beating.limits


def test_quick_steps_need_no_patience_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, 0.2, 0.1, 0.1) == [process.FIRST_STEP_S]


def test_slow_steps_get_more_time_than_any_took_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, 9.0, 7.0, 12.0, 8.0) == [process.FIRST_STEP_S, 36.0, 36.0, 48.0]


class Published:
    """Takes what a publisher would send."""

    buffer_bytes = dropped = 0

    def __init__(self) -> None:
        self.frames: list[tuple[str, int]] = []

    def wanted(self, topic: str) -> bool:
        return topic.startswith("exposure/")

    def room_for(self, like: Pixels) -> None:
        return None

    def publish(self, topic: str, header: Header, pixels: Pixels) -> None:
        if topic != "fused":
            self.frames.append((topic, header.sources[0].seq))


def test_where_fusion_skips_frames_each_exposure_is_still_published() -> None:
    published, here, _ = Published(), *socket.socketpair()
    stage = process._Stage(
        open_fuser(device="cpu"), [cast(Any, published)], Tally(), FusionJob(here, (), FusionSettings())
    )
    for under, over in ((0, 1), (2, 3), (4, 3)):  # two new frames, two, then one
        records = tuple(
            FrameRecord(number, 0, "monotonic", 0, index=index, requested=Exposure(1000.0 * 8**index))
            for index, number in enumerate((under, over))
        )
        pixels = tuple(np.full((64, 64, 3), 60 + 100 * index, np.uint8) for index in range(2))
        stage.finish(stage.start(Delivery(Bracket(records, Verdict.GOOD), pixels, (0, 1), {}, (None, None))))
    assert published.frames == [
        ("exposure/0", 0),
        ("exposure/1", 1),
        ("exposure/0", 2),
        ("exposure/1", 3),
        ("exposure/0", 4),
    ]
