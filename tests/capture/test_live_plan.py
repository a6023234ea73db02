"""Exposures that change while the camera runs: what the commands do, refuse and report."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.bracketing.plan import PlanError
from livemef.capture.cameras.base import Camera
from livemef.capture.cameras.registry import open_camera
from livemef.capture.child import Command, Lifeline
from livemef.capture.files.recording import RecordingWriter
from livemef.capture.frame import Exposure, Frame
from livemef.capture.live_plan import CHANGE, HOLD, control_state, obey
from livemef.capture.session import CaptureSession, open_session, plan_text, planned_exposures

SMALL = "sim://?scene=bars&size=96x64&pace=fast&seed=3&delay=2"


class Line:
    """The supervisor's side of a lifeline: gives one command, keeps answer and reports in their order."""

    def __init__(self, name: str, **values: Any) -> None:
        self._commands = [Command(7, name, values)]
        self.said: list[tuple[str, dict[str, Any]]] = []

    def commands(self) -> list[Command]:
        return self._commands

    def answer(self, command: Command, refused: str = "", **values: Any) -> None:
        self.said.append(("answer", {"number": command.number, "refused": refused, **values}))

    def beat_now(self, **values: Any) -> None:
        self.said.append(("beat", values))


def told(session: CaptureSession, name: str, **values: Any) -> list[tuple[str, dict[str, Any]]]:
    line = Line(name, **values)
    obey(cast(Lifeline, line), session)
    return line.said


def change(session: CaptureSession, exposures: str, gain: float = 1.0) -> dict[str, Any]:
    return told(session, CHANGE, exposures=exposures, gain=gain, mains_hz=50)[-1][1]


@pytest.fixture
def camera() -> Iterator[Camera]:
    with closing(open_camera(SMALL)) as camera:
        camera.start()
        yield camera


def labelled(session: CaptureSession, count: int) -> list[tuple[int, Exposure | None]]:
    frames = [session.next_frame(1.0) for _ in range(count)]
    return [(frame.record.epoch, frame.record.exposure) for frame in frames if frame is not None]


def test_a_new_plan_is_in_force_a_few_frames_later_and_every_label_is_true(camera: Camera) -> None:
    session = open_session(camera, "1ms,16ms", 1.0, 50, first_epoch=5)
    assert {epoch for epoch, _ in labelled(session, 20)} == {5}
    said = told(session, CHANGE, exposures="2ms,8ms", gain=1.0, mains_hz=50)
    assert said == [
        ("beat", {"control": {"epoch": 6, "plan": [(2000.0, 1.0), (8000.0, 1.0)], "auto": False, "known": True}}),
        ("answer", {"number": 7, "refused": ""}),
    ]
    frames = labelled(session, 12)
    assert len(frames) >= 12 - 5
    assert {(epoch, exposure.exposure_us) for epoch, exposure in frames if exposure} == {(6, 2000.0), (6, 8000.0)}


@pytest.mark.parametrize("exposures", ["999s,1ms", "1ms,1.1ms", "1ms", "3ms,999s"])
def test_a_plan_that_cannot_be_is_refused_and_changes_nothing(camera: Camera, exposures: str) -> None:
    session = open_session(camera, "1ms,16ms", 1.0, 50)
    before = control_state(session)
    answer = change(session, exposures)
    assert answer["refused"]
    assert control_state(session) == before


def test_another_number_of_exposures_is_in_force_at_once_and_brackets_follow(camera: Camera) -> None:
    session = open_session(camera, "1ms,16ms", 1.0, 50)
    grouper = BracketGrouper[None]()
    for plan in ("1ms,16ms", "1ms,4ms,16ms", "1ms,3ms,8ms,24ms", "2ms,9ms"):
        assert change(session, plan) == {"number": 7, "refused": ""}
        frames = [frame for frame in (session.next_frame(1.0) for _ in range(24)) if frame is not None]
        grouped = [grouper.push(frame.record, None).bracket for frame in frames]
        brackets = [bracket for bracket in grouped if bracket is not None]
        assert len(brackets) > 24 - 10
        exposures = [tuple(record.exposure for record in bracket.records) for bracket in brackets]
        assert set(exposures) == {planned_exposures(plan)}
    assert session.counters.received == session.counters.labelled + session.counters.transitional


def test_more_exposures_than_there_is_room_for_need_a_new_process(camera: Camera) -> None:
    session = open_session(camera, "1ms,16ms", 1.0, 50)
    five = "1ms,2ms,4ms,8ms,16ms"
    assert change(session, five) == {"number": 7, "refused": "", "restart": True}
    assert change(session, "auto:5")["restart"]
    assert "outside" in change(session, "1ms,2ms,4ms,8ms,999s")["refused"]
    assert session.epoch == 0
    with pytest.raises(PlanError, match="room for 4"):
        session.change(five, 1.0, 50)
    assert not session.automatic
    assert open_session(camera, five, 1.0, 50).most_exposures == 5


def test_the_same_plan_is_no_new_epoch(camera: Camera) -> None:
    session = open_session(camera, "1ms,16ms", 1.0, 50)
    change(session, "16ms,1000us")
    assert session.epoch == 0


def test_auto_follows_until_it_is_held_and_what_it_found_can_be_given_again(camera: Camera) -> None:
    session = open_session(camera, "1ms,16ms", 1.0, 50)
    change(session, "auto")
    assert session.automatic
    labelled(session, 60)
    found = session.plan
    held = told(session, HOLD)[-1][1]
    assert not session.automatic
    assert planned_exposures(held["exposures"], 3.0) == found
    change(session, held["exposures"])
    assert session.plan == found


def test_a_recording_refuses_everything(tmp_path: Path) -> None:
    with (
        closing(open_camera(SMALL)) as camera,
        closing(
            RecordingWriter(tmp_path / "recording", replace(camera.info, plan=planned_exposures("1ms,16ms")))
        ) as writer,
    ):
        session = open_session(camera, "1ms,16ms", 1.0, 50)
        camera.start()
        frames = [frame for frame in (session.next_frame(1.0) for _ in range(12)) if frame is not None]
        grouper = BracketGrouper[Frame]()
        for frame in frames:
            grouped = grouper.push(frame.record, Frame(frame.record, frame.pixels.copy()))
            if grouped.bracket is not None:
                writer.accept(grouped.bracket, grouped.payloads, 5.0)
    with closing(open_camera(f"file://{tmp_path}/recording")) as recorded:
        replayed = open_session(recorded, "auto", 1.0, 50)
        before = control_state(replayed)
        assert "recording" in change(replayed, "1ms,2ms")["refused"]
        assert "recording" in told(replayed, HOLD)[-1][1]["refused"]
        assert control_state(replayed) == before


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0.01, 1000)), min_size=2, max_size=5))
def test_a_plan_as_text_loses_nothing(plan: list[tuple[float, float]]) -> None:
    exposures = [Exposure(*one) for one in plan]
    assert sorted(planned_exposures(plan_text(exposures), 2.0), key=str) == sorted(exposures, key=str)
