"""`livemef record`: what was accepted is on disk and replays as it was; nothing is overwritten or left half-made."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.capture.cameras.registry import open_camera
from livemef.capture.files.recording import Recording
from livemef.tools.cli import main
from tests.tools.command import ROOT, assert_one_line, livemef

CAMERA = "sim://?scene=bars&size=96x64&seed=5"


def record(*arguments: object) -> int:
    return main(["record", *map(str, arguments)])


@pytest.mark.parametrize("mode", ["sliding", "disjoint"])
def test_as_many_brackets_as_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    monkeypatch.setenv("LIVEMEF_CAPTURE__BRACKET_MODE", mode)
    folder = tmp_path / "recording"
    assert record("--camera", f"{CAMERA}&pace=fast", "-o", folder, "--brackets", 12, "--json") == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["brackets"], outcome["refused"], outcome["ended_by"]) == (12, 0, "done")
    recording = Recording(folder)
    assert len(recording.brackets) == 12
    assert len(recording) == (24 if mode == "disjoint" else 13)
    for bracket in recording.brackets:
        lights = [recording.records[place].exposure.light for place in bracket.frames]
        assert lights == sorted(lights)
        assert lights[0] < lights[1]


def test_exposures_of_the_recording_are_those_asked_for(tmp_path: Path) -> None:
    plan = ("--exposures", "1ms,4ms,16ms")
    assert record("--camera", f"{CAMERA}&pace=fast", *plan, "-o", tmp_path / "r", "--brackets", 3) == 0
    recording = Recording(tmp_path / "r")
    assert [exposure.exposure_us for exposure in recording.info.plan] == [1e3, 4e3, 16e3]
    assert all(len(bracket.frames) == 3 for bracket in recording.brackets)


def test_automatic_exposures_are_those_that_the_frames_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record("--camera", f"{CAMERA}&pace=fast", "-o", tmp_path / "r", "--brackets", 4, "--json") == 0
    frames = [json.loads(line)["record"]["measured"] for line in (tmp_path / "r/frames.jsonl").read_text().splitlines()]
    had = sorted({frame["exposure_us"] for frame in frames})
    stored = json.loads((tmp_path / "r/recording.json").read_text())["camera"]["plan"]
    assert [exposure["exposure_us"] for exposure in stored] == pytest.approx(had, rel=0.02)
    assert len(json.loads(capsys.readouterr().out)["exposures"]) == 2
    with closing(open_camera(f"file://{tmp_path / 'r'}")) as replay:
        assert [exposure.exposure_us for exposure in replay.info.plan] == pytest.approx(had, rel=0.02)


def test_a_replay_that_lost_brackets_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record("--camera", f"{CAMERA}&pace=fast", "-o", tmp_path / "a", "--brackets", 40) == 0
    lines = (tmp_path / "a/frames.jsonl").read_text().splitlines()
    # frames that arrived within a millisecond: nobody can read them at their own pace
    for number, line in enumerate(lines):
        entry = json.loads(line)
        entry["record"]["received_ns"] = number * 25_000
        lines[number] = json.dumps(entry)
    (tmp_path / "a/frames.jsonl").write_text("\n".join(lines) + "\n")
    capsys.readouterr()
    assert record("--camera", f"file://{tmp_path / 'a'}", "-o", tmp_path / "b", "--brackets", 99) == 2
    assert "with pace=stepped a replay loses nothing" in capsys.readouterr().out
    assert record("--camera", f"file://{tmp_path / 'a'}?pace=stepped", "-o", tmp_path / "c", "--brackets", 99) == 2
    assert "40 brackets" in (told := capsys.readouterr().out)
    assert "loses" not in told


def test_recording_of_a_replay_is_the_same_pixel_for_pixel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record("--camera", f"{CAMERA}&pace=fast", "-o", tmp_path / "a", "--brackets", 6) == 0
    # more is asked for than the recording holds: the end of the source is told, and what came is kept
    code = record("--camera", f"file://{tmp_path / 'a'}?pace=stepped", "-o", tmp_path / "b", "--brackets", 99)
    assert code == 2
    assert "end of source" in capsys.readouterr().out
    first, second = Recording(tmp_path / "a"), Recording(tmp_path / "b")
    assert len(second.brackets) == len(first.brackets) == 6
    for before, after in zip(first, second, strict=True):
        assert np.array_equal(before.pixels, after.pixels)
        assert before.record.measured == after.record.measured
        assert before.record.index == after.record.index


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_recording_is_whole(tmp_path: Path, signal_number: int) -> None:
    folder = tmp_path / "recording"
    command = [sys.executable, "-m", "livemef.tools.cli", "record", "--camera", CAMERA, "-o", str(folder), "--json"]
    child = subprocess.Popen([*command, "--brackets", "100000"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 40
        listed = folder / "brackets.jsonl"
        while not (listed.exists() and listed.stat().st_size > 200) and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal_number)
        out, _ = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == 0
    outcome = json.loads(out)
    assert outcome["ended_by"] == "interrupted"
    recording = Recording(folder)
    assert len(recording.brackets) == outcome["brackets"] > 0
    assert all(frame.pixels.shape == (64, 96, 3) for frame in recording)


class TestBadInput:
    def refused(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
        assert record(*arguments) == 2
        written = capsys.readouterr()
        assert written.out == ""
        lines = written.err.strip().splitlines()
        assert len(lines) == 1, written.err
        return lines[0]

    def test_folder_that_is_not_empty(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        kept = tmp_path / "holiday.jpg"
        kept.write_text("precious")
        assert "not empty" in self.refused(capsys, "--camera", CAMERA, "-o", tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
        assert "is a file" in self.refused(capsys, "--camera", CAMERA, "-o", kept)
        assert kept.read_text() == "precious"

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (["--camera", "nonsense://"], "nonsense"),
            (["--camera", "webcam"], "webcam"),
            (["--camera", "sim://?sise=64x48"], "size"),
            (["--camera", "file:///no/such/folder"], "/no/such/folder"),
            (["--camera", CAMERA, "--exposures", "1,2"], "unit"),
            (["--camera", CAMERA, "--exposures", "1ms"], "two"),
            (["--camera", CAMERA, "--exposures", "8ms,9ms"], "apart"),
            (["--camera", CAMERA, "--brackets", "0"], "brackets"),
            (["--camera", CAMERA, "--brackets", "some"], "brackets"),
        ],
    )
    def test_leaves_no_folder(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
    ) -> None:
        assert word in self.refused(capsys, *arguments, "-o", tmp_path / "r")
        assert list(tmp_path.iterdir()) == []

    def test_no_output_and_no_parent(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "-o" in self.refused(capsys, "--camera", CAMERA)
        assert "no folder" in self.refused(capsys, "--camera", CAMERA, "-o", tmp_path / "a" / "b")

    @pytest.mark.parametrize("content", [None, b"", b"not a picture at all, really"])
    def test_camera_folder_without_good_pictures(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
    ) -> None:
        source = tmp_path / "source"
        source.mkdir()
        if content is not None:
            (source / "under.png").write_bytes(content)
            cv2.imwrite(str(source / "over.png"), np.zeros((8, 8, 3), np.uint8))
        self.refused(capsys, "--camera", f"file://{source}", "-o", tmp_path / "r")
        assert not (tmp_path / "r").exists()

    def test_pictures_of_two_sizes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name, side in (("under", 16), ("over", 24)):
            cv2.imwrite(str(source / f"{name}.png"), np.zeros((side, side, 3), np.uint8))
        self.refused(capsys, "--camera", f"file://{source}", "-o", tmp_path / "r")

    def test_stalled_camera(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LIVEMEF_CAPTURE__STALL_TIMEOUT_S", "0.1")
        camera = f"{CAMERA}&stall=1&stall_time=60s&pace=fast"
        assert "plugged in" in self.refused(capsys, "--camera", camera, "-o", tmp_path / "r")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_unwritable_place(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tmp_path.chmod(0o500)
        assert "Permission" in self.refused(capsys, "--camera", CAMERA, "-o", tmp_path / "r")

    def test_as_a_process(self, tmp_path: Path) -> None:
        assert_one_line(livemef("record", "--camera", "sim://?delay=many", "-o", tmp_path / "r"), "delay")
