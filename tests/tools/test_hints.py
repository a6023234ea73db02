"""What people type first, and the hint that gets them on: a device, a folder, a fraction of a second, a port alone."""

import re
from pathlib import Path

import pytest

from livemef.capture.bracketing.plan import parse_plan
from livemef.capture.errors import CaptureError
from livemef.capture.uri import parse_uri
from livemef.tools.exits import UserError
from livemef.tools.run.command import preview_flags
from livemef.tools.watch import endpoint_of_run
from tests.tools.command import assert_one_line, livemef


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("/dev/video0", "write v4l2:///dev/video0"),
        ("video2", "write v4l2:///dev/video2"),
        ("0", "v4l2:///dev/video0"),
        ("nowhere", "scheme://"),
        ("", "scheme://"),
    ],
)
def test_what_is_no_camera_uri(typed: str, hint: str) -> None:
    with pytest.raises(CaptureError, match=re.escape(hint)):
        parse_uri(typed)


def test_a_folder_as_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rec1").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaptureError, match="write file://rec1"):
        parse_uri("rec1")


@pytest.mark.parametrize(
    ("typed", "hint"), [("1/60", "write 16.67ms"), ("1/60s,1ms", "16.67ms"), ("1/8000", "125us"), ("1/0", "8ms@2")]
)
def test_fractions_of_a_second(typed: str, hint: str) -> None:
    with pytest.raises(CaptureError, match=re.escape(hint)):
        parse_plan(typed)


def test_a_port_alone() -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:8081"):
        preview_flags("8081", False)


def test_no_camera_at_all_is_not_the_simulated_one(tmp_path: Path) -> None:
    assert_one_line(livemef("record", "-o", tmp_path / "r"), "no camera is named", "--camera")
    assert_one_line(livemef("calibrate", "delay", cwd=tmp_path), "no camera is named", "--camera")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("delay", "--camera", "/dev/video7"), ("flat", "--camera", "7")])
def test_calibrate_hints_at_uris_too(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert_one_line(livemef("calibrate", *arguments, cwd=tmp_path), "v4l2:///dev/video7")


@pytest.mark.parametrize(
    ("published", "watched"),
    [
        ("pub+bind:tcp://127.0.0.1:5556", "sub+connect:tcp://127.0.0.1:5556"),
        ("pub+bind:tcp://*:5556", "sub+connect:tcp://127.0.0.1:5556"),
        ("tcp://0.0.0.0:7", "sub+connect:tcp://127.0.0.1:7"),
        ("pub+bind:ipc:///run/x", "sub+connect:ipc:///run/x"),
        ("pub+connect:tcp://10.0.0.2:7", "sub+bind:tcp://10.0.0.2:7"),
    ],
)
def test_watch_listens_where_run_publishes(monkeypatch: pytest.MonkeyPatch, published: str, watched: str) -> None:
    monkeypatch.setenv("LIVEMEF_PUBLISH__ENDPOINT", published)
    assert endpoint_of_run() == watched


@pytest.mark.parametrize("typed", ["::1", "::1:8080", "fe80::1:8080"])
def test_an_ipv6_address_needs_brackets(typed: str) -> None:
    with pytest.raises(UserError, match=r"in brackets, for instance \[::1\]:8080"):
        preview_flags(typed, False)


def test_an_ipv6_address_in_brackets() -> None:
    assert preview_flags("[::1]:8081", False) == {
        "preview.enabled": True,
        "preview.host": "::1",
        "preview.port": 8081,
    }
