"""How long the fusion process may be busy with a bracket before it counts as hung; which frames it publishes."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

import cv2
import numpy as np
import pytest

from livemef.capture.frame import Bracket, Exposure, FrameRecord, Pixels, Verdict
from livemef.fusion import patience, process
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
    monkeypatch.setattr(patience, "time", clock)
    watched = patience.Patience(cast(Any, beating))
    for step_s in steps_s:
        with watched.step():
            clock.now_s += step_s
    return beating.limits


def test_quick_steps_need_no_patience_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, 0.2, 0.1, 0.1) == [patience.FIRST_STEP_S]


def test_slow_steps_get_more_time_than_any_took_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, 9.0, 7.0, 12.0, 8.0) == [patience.FIRST_STEP_S, 36.0, 36.0, 48.0]


class Published:
    """Takes what a publisher would send."""

    buffer_bytes = dropped = 0
    has_subscribers = True

    def __init__(self) -> None:
        self.frames: list[tuple[str, int]] = []

    def wanted(self, topic: str) -> bool:
        return topic.startswith("exposure/")

    def room_for(self, like: Pixels) -> None:
        return None

    def publish(self, topic: str, header: Header, pixels: Pixels, with_status: bool = True) -> None:
        assert topic != "fused"  # nobody has subscribed
        self.frames.append((topic, header.sources[0].seq))

    def publish_status(self, header: Header, like: Pixels) -> None:
        self.frames.append(("status", header.seq))


class Streamed(Published):
    """The same, with a subscriber to the fused pictures from bracket `since` on."""

    def __init__(self, since: int) -> None:
        super().__init__()
        self.since, self.seq = since, 0
        self.pictures: dict[int, Pixels] = {}

    def wanted(self, topic: str) -> bool:
        return topic == "fused" and self.seq >= self.since

    def publish(self, topic: str, header: Header, pixels: Pixels, with_status: bool = True) -> None:
        assert (topic, with_status) == ("fused", False)
        self.frames.append((topic, header.seq))
        self.pictures[header.seq] = pixels.copy()

    def publish_status(self, header: Header, like: Pixels) -> None:
        super().publish_status(header, like)
        self.seq = header.seq + 1


def stage_with(published: Published, settings: FusionSettings | None = None) -> process._Stage:
    here, _ = socket.socketpair()
    settings = settings or FusionSettings()
    fuser = open_fuser(settings, device="cpu", threads=2)
    return process._Stage(fuser, [cast(Any, published)], Tally(), FusionJob(here, (), settings))


def delivery(frames: Sequence[int], pixels: Sequence[Pixels]) -> Delivery:
    records = tuple(
        FrameRecord(number, 0, "monotonic", 0, index=index, requested=Exposure(1000.0 * 8**index))
        for index, number in enumerate(frames)
    )
    return Delivery(Bracket(records, Verdict.GOOD), tuple(pixels), (0, 1), {}, (None, None))


@pytest.mark.parametrize(
    "settings",
    [FusionSettings(), FusionSettings(motion="off"), FusionSettings(network_lines=0), FusionSettings(colour="lab")],
    ids=["live", "still", "full", "lab"],
)
def test_who_comes_late_gets_the_picture_of_a_fuser_that_had_fused_all_along(settings: FusionSettings) -> None:
    """Pictures that nobody has subscribed to are not made; what is remembered of the stream is the same."""
    late, early, none = Streamed(since=9), Streamed(since=0), Streamed(since=99)
    stages = [stage_with(one, settings) for one in (late, early, none)]
    scene = np.random.default_rng(1).integers(0, 200, (130, 220, 3)).astype(np.uint8)
    scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), 3), np.uint8)
    taken: list[Pixels] = []
    for number in range(14):
        frame = np.clip(scene[:120, number : number + 200] * (0.5 + number % 2), 0, 255).astype(np.uint8)
        frame[40:70, 4 * number : 4 * number + 30] = 40 + 100 * (number % 2)  # it moves on its own
        taken.append(frame)
        if number:
            frames = (number - number % 2, number - 1 + number % 2)
            for stage in stages:
                stage.finish(stage.start(delivery(frames, [taken[one] for one in frames])))
    assert sorted(late.pictures) == [9, 10, 11, 12]
    assert len(early.pictures) == 13
    assert not none.pictures
    for seq, picture in late.pictures.items():
        np.testing.assert_array_equal(picture, early.pictures[seq])
    assert [stage.tally.fused for stage in stages] == [13, 13, 13]  # the count is of brackets, seen or not
    assert early.frames[:4] == [("fused", 0), ("status", 0), ("fused", 1), ("status", 1)]


def test_where_fusion_skips_frames_each_exposure_is_still_published() -> None:
    published = Published()
    stage = stage_with(published)
    for under, over in ((0, 1), (2, 3), (4, 3)):  # two new frames, two, then one
        pixels = [np.full((64, 64, 3), 60 + 100 * index, np.uint8) for index in range(2)]
        stage.finish(stage.start(delivery((under, over), pixels)))
    assert [one for one in published.frames if one[0] != "status"] == [
        ("exposure/0", 0),
        ("exposure/1", 1),
        ("exposure/0", 2),
        ("exposure/1", 3),
        ("exposure/0", 4),
    ]
