"""Recordings that somebody else made, or damaged: refused in one line, whatever stands in them."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import write_picture
from livemef.capture.files.recording import BRACKETS_FILE, FRAMES_FILE, HEADER_FILE, Recording, is_recording
from livemef.capture.frame import FrameRecord
from livemef.capture.transport import frame_json
from livemef.tools.scenes import find_scenes

CAMERA = {
    "uri": "sim://",
    "name": "camera",
    "width": 8,
    "height": 6,
    "dtype": "uint8",
    "fps": 30.0,
    "limits": {"exposure_min_us": 10.0, "exposure_max_us": 33000.0},
    "plan": [{"exposure_us": 1000.0, "gain": 1.0}, {"exposure_us": 16000.0, "gain": 1.0}],
}
HEADER = {"format": "livemef-recording", "version": 1, "created": "", "camera": CAMERA}


def frame(number: int, **changes: object) -> dict[str, object]:
    record = {
        "sequence": number,
        "timestamp_ns": number * 33_000_000,
        "clock": "monotonic",
        "received_ns": number * 33_000_000,
        "measured": {"exposure_us": 1000.0 if number % 2 == 0 else 16000.0, "gain": 1.0},
        "index": number % 2,
        "label_source": "metadata",
        "flags": [],
    }
    return {"file": f"frames/{number:08d}.png", "record": record | changes}


def made(folder: Path, header: object = HEADER, frames: object = None, brackets: object = None) -> Path:
    """A recording of two frames and one bracket, with what is given in place of its own."""
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    for number in range(2):
        write_picture(folder / f"frames/{number:08d}.png", np.full((6, 8, 3), 60 * (number + 1), np.uint8))
    lines = [frame(0), frame(1)] if frames is None else frames
    listed = [{"frames": [0, 1], "verdict": "good"}] if brackets is None else brackets
    for name, values in ((FRAMES_FILE, lines), (BRACKETS_FILE, listed)):
        text = values if isinstance(values, str) else "".join(json.dumps(value) + "\n" for value in values)
        (folder / name).write_text(text, errors="surrogatepass")
    text = header if isinstance(header, str) else json.dumps(header)
    (folder / HEADER_FILE).write_text(text)
    return folder


def read_all(folder: Path) -> None:
    """What replay, fuse and calibrate do with a recording."""
    for _ in Recording(folder):
        pass
    camera = open_camera(f"file://{folder}?pace=fast&loop=off")
    try:
        camera.start()
        camera.read(1.0)
    finally:
        camera.close()


def test_the_one_that_the_others_are_made_from_is_read(tmp_path: Path) -> None:
    read_all(made(tmp_path / "r"))


def camera(**changes: object) -> dict[str, object]:
    return HEADER | {"camera": CAMERA | changes}


HUGE_INT, DEEP = "9" * 6000, "[" * 200_000
HEADERS = {
    "no object": "[1]",
    "a number of 6000 digits": f'{{"format": {HUGE_INT}}}',
    "nested deeply": DEEP,
    "more than a megabyte": json.dumps(HEADER) + " " * (1 << 20),
    "camera is a list": HEADER | {"camera": [1]},
    "version is a list": HEADER | {"version": ["1" * 1000]},
    "width is text": camera(width="8"),
    "width is true": camera(width=True),
    "width is huge": camera(width=10**30),
    "height is negative": camera(height=-6),
    "dtype is a program": camera(dtype="O"),
    "fps is text": camera(fps="30"),
    "fps is not a number": camera(fps=float("nan")),
    "fps is negative": camera(fps=-1.0),
    "limits lack": camera(limits={}),
    "limits are text": camera(limits="x"),
    "plan is text": camera(plan="1ms"),
    "plan of zero": camera(plan=[{"exposure_us": 0.0, "gain": 1.0}]),
    "plan of infinity": camera(plan=[{"exposure_us": float("inf"), "gain": 1.0}]),
    "plan is huge": camera(plan=[{"exposure_us": 1.0, "gain": 1.0}] * 1000),
    "pace is unknown": camera(paced="stopped"),
    "name is an object": camera(name={}),
    "automatic is a number": camera(automatic=3),
}
FRAMES = {
    "no object": [1],
    "not UTF-8": "\udcff\n",
    "nested deeply": DEEP[:60_000] + "\n",
    "a line of a megabyte": json.dumps(frame(0) | {"x": "y" * (1 << 20)}) + "\n",
    "a name with a zero byte": [frame(0) | {"file": "frames/\0.png"}, frame(1)],
    "a name of lone surrogates": [frame(0) | {"file": "frames/\ud800.png"}, frame(1)],
    "a name of 5000 bytes": [frame(0) | {"file": "x" * 5000}, frame(1)],
    "a place outside": [frame(0) | {"file": "../../etc/passwd"}, frame(1)],
    "an absolute place": [frame(0) | {"file": "/etc/passwd"}, frame(1)],
    "a folder": [frame(0) | {"file": "frames"}, frame(1)],
    "file is a number": [frame(0) | {"file": 3}, frame(1)],
    "record is text": [frame(0) | {"record": "x"}, frame(1)],
    "sequence is text": [frame(0, sequence="0"), frame(1)],
    "sequence is a fraction": [frame(0, sequence=0.5), frame(1)],
    "sequence is beyond 64 bits": [frame(0, sequence=2**63), frame(1)],
    "time stamp is beyond 64 bits": [frame(0, timestamp_ns=10**40), frame(1)],
    "measured is a list": [frame(0, measured=[1]), frame(1)],
    "measured is tiny": [frame(0, measured={"exposure_us": 5e-324, "gain": 5e-324}), frame(1)],
    "measured overflows": [frame(0, measured={"exposure_us": 1e308, "gain": 1e308}), frame(1)],
    "flags are text": [frame(0, flags="DUPLICATE"), frame(1)],
    "a flag is unknown": [frame(0, flags=["NO_SUCH"]), frame(1)],
    "a flag is a list": [frame(0, flags=[["DUPLICATE"]]), frame(1)],
    "label source is unknown": [frame(0, label_source="guess"), frame(1)],
    "index is negative": [frame(0, index=-1), frame(1)],
    "confidence is not a number": [frame(0, confidence=float("nan")), frame(1)],
    "clock is nothing": [frame(0, clock=None), frame(1)],
}
BRACKETS = {
    "no object": ["x"],
    "no places": [{"frames": [], "verdict": "good"}],
    "places are true": [{"frames": [True, False], "verdict": "good"}],
    "a place that is not there": [{"frames": [0, 7], "verdict": "good"}],
    "a negative place": [{"frames": [0, -1], "verdict": "good"}],
    "verdict is a list": [{"frames": [0, 1], "verdict": ["good"]}],
    "none at all": [],
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(tmp_path: Path, name: str) -> None:
    assert_refused(made(tmp_path / "r", header=HEADERS[name]))


@pytest.mark.parametrize("name", FRAMES)
def test_frames(tmp_path: Path, name: str) -> None:
    assert_refused(made(tmp_path / "r", frames=FRAMES[name]))


@pytest.mark.parametrize("name", BRACKETS)
def test_brackets(tmp_path: Path, name: str) -> None:
    assert_refused(made(tmp_path / "r", brackets=BRACKETS[name]))


def assert_refused(folder: Path) -> None:
    with pytest.raises(CaptureError) as error:
        read_all(folder)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("name", [HEADER_FILE, FRAMES_FILE, BRACKETS_FILE, "frames/00000000.png"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_never_opened(tmp_path: Path, name: str, kind: str) -> None:
    folder = made(tmp_path / "r")
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero")
    assert_refused(folder)
    assert is_recording(folder)


def test_a_recording_without_its_header_is_not_taken_for_plain_pictures(tmp_path: Path) -> None:
    folder = made(tmp_path / "r")
    (folder / HEADER_FILE).unlink()
    with pytest.raises(CaptureError, match=HEADER_FILE):
        find_scenes(folder)
    with pytest.raises(CaptureError, match=HEADER_FILE):
        open_camera(f"file://{folder}")
    (folder / BRACKETS_FILE).unlink()
    assert not is_recording(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_value_in_any_field_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    fields = {"header": sorted(CAMERA), "record": sorted(frame(0)["record"]), "bracket": ["frames", "verdict"]}
    where = data.draw(st.sampled_from(sorted(fields)))
    change = {data.draw(st.sampled_from(fields[where])): data.draw(JSON)}
    header = camera(**change) if where == "header" else HEADER
    frames = [frame(0, **change), frame(1)] if where == "record" else None
    brackets = [{"frames": [0, 1], "verdict": "good"} | change] if where == "bracket" else None
    said = ""
    try:
        Recording(made(tmp_path / "r", header, frames, brackets))
    except CaptureError as error:
        said = str(error)
    assert "\n" not in said


def test_every_field_of_the_dataclasses_is_read() -> None:
    """A field that is added to a frame's record would otherwise be lost without a word."""
    for model, kind in (
        (frame_json._Record, FrameRecord),
        (frame_json._Info, CameraInfo),
        (frame_json._Limits, CameraLimits),
    ):
        assert set(model.model_fields) == {field.name for field in dataclasses.fields(kind)}
