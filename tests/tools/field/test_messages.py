"""What a person is told when something is wrong, one line each: what is wrong, and what to do about it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from livemef.capture.bracketing.plan import parse_plan
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.session import CaptureSession
from livemef.fusion.correction import SRGB
from livemef.tools.cli import main
from livemef.tools.exits import UserError
from livemef.tools.field.clock import ClockState
from livemef.tools.field.ids import checked_id, next_name
from livemef.tools.field.ledger import Ledger
from livemef.tools.field.readiness import Facts, red_reasons, warnings
from livemef.tools.field.session import LEDGER, FieldSession, new_session
from livemef.tools.field.take import take
from tests.tools.field.session_rig import make_project

READY = Facts(target_age_s=0.0, free=10**12, object_bytes=10**8)


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises((UserError, CaptureError)) as caught:
        act()
    return str(caught.value)


def take_of(camera_text: str, plan_text: str, limit_s: float = 1.0) -> None:
    """A take on a camera whose frames are not those of the plan."""
    plan = parse_plan(plan_text, 1.0)
    camera = open_camera(camera_text)
    try:
        session = CaptureSession(camera, parse_plan("1ms,4ms", 1.0))
        camera.start()
        take(session.next_frame, plan, SRGB, 2, 1, limit_s, 0.5)
    finally:
        camera.close()


def broken_ledger(folder: Path) -> None:
    session = new_session(folder, "rig", {})
    session.close()
    path = session.folder / LEDGER
    path.write_bytes(path.read_bytes().replace(b'"prev":"0', b'"prev":"1'))
    Ledger(path)


def two_writers(folder: Path) -> None:
    session = new_session(folder, "rig", {})
    try:
        FieldSession(session.folder)
    finally:
        session.close()


CAMERA = "sim://?scene=flat&size=64x48&pace=fast"
SAID: dict[str, tuple[Callable[[Path], str], str]] = {
    "an id of another pattern": (
        lambda _: refusal(lambda: checked_id("kr-1", "KR-[0-9]+")),
        r"object id kr-1: does not match the project's pattern",
    ),
    "an object that is there": (lambda _: refusal(lambda: next_name("KR-1", ["KR-1"], False)), "retake"),
    "a take without frames of one exposure": (
        lambda _: refusal(lambda: take_of(CAMERA, "1ms,9ms")),
        r"not complete after 1 s: 0 of 2 certain frames of 9 ms",
    ),
    "a camera that stalls": (
        lambda _: refusal(lambda: take_of(CAMERA + "&stall=1&stall_time=60s", "1ms,4ms", 5.0)),
        r"no frame within 0.5 s",
    ),
    "a pipeline that is started again": (
        lambda _: red_reasons(Facts(**vars(READY) | {"pipeline": "capture: is being started again"}))[0],
        "no pictures: capture",
    ),
    "a full disk": (
        lambda _: red_reasons(Facts(**vars(READY) | {"free": 10**8, "reserve": 10**9}))[0],
        r"the disk is nearly full: 0.1 GB free, 1.3 are needed: make room",
    ),
    "a disk that is gone": (
        lambda _: red_reasons(Facts(**vars(READY) | {"free": None}))[0],
        "the session's disk is gone",
    ),
    "a camera that adjusts something": (
        lambda _: red_reasons(Facts(**vars(READY) | {"automatic": ("white balance",)}))[0],
        "the camera adjusts white balance by itself: switch that off",
    ),
    "no target": (lambda _: red_reasons(Facts(free=10**12))[0], "no target yet: put a ColorChecker"),
    "a second disk that is gone": (
        lambda _: warnings(Facts(**vars(READY) | {"second": True, "second_behind": 12}))[0],
        "the second disk is missing; 12 copies wait",
    ),
    "a clock that is not in step": (lambda _: ClockState(False, 0.0).warning, "the clock is not synchronised"),
    "a clock that went backwards": (lambda _: ClockState(True, -90.0).warning, "was set backwards by 90 s"),
    "a ledger that was changed": (
        lambda folder: refusal(lambda: broken_ledger(folder)),
        r"session.jsonl, line 1: .*livemef shoot verify --accept",
    ),
    "a session that another process has open": (
        lambda folder: refusal(lambda: two_writers(folder)),
        r"another livemef shoot has this session open \(process [0-9]+\)",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said(case: str, tmp_path: Path) -> None:
    said, pattern = SAID[case]
    text = said(tmp_path)
    assert re.search(pattern, text), text
    assert "\n" not in text


def test_a_profile_of_another_camera_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "other.toml"
    profile.write_text(
        'format = "livemef-camera-profile"\nversion = 1\ndate = "2026-01-01"\nsoftware = "x"\nmodel = "other"\n'
        'serial = "7"\nwidth = 640\nheight = 480\ndtype = "uint8"\n'
    )
    project = make_project(tmp_path / "museum", profile=str(profile))
    capsys.readouterr()
    assert main(["shoot", "open", str(project), "--no-preview", "--no-input"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "other" in line
