import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.capture.files.image_io import read_picture
from livemef.capture.files.video import VideoFile, VideoWriter
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from tests.tools.command import ROOT, assert_one_line, livemef
from tests.tools.footage_clips import exposed_frames, numbered_folder


def clip(path: Path, count: int = 9, speed: float = 0.0) -> Path:
    frames = exposed_frames(count, speed=speed)
    writer = VideoWriter(path, frames[0].shape[1::-1], 24.0)
    for pixels in frames:
        writer.write(pixels)
    writer.close()
    return path


def test_a_video_becomes_a_video_or_numbered_pictures_alike(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mkv")
    done = livemef("fuse", path, "--ev", "3", "-o", tmp_path / "out.mkv", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["frames"], summary["fused"], summary["exposures"]) == (9, 8, 2)
    assert summary["fps"] == 24
    assert livemef("fuse", path, "--ev", "3", "-o", tmp_path / "out").returncode == 0
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == [f"{number:06}.png" for number in range(8)]
    video = VideoFile(tmp_path / "out.mkv")
    for number, name in enumerate(names):
        np.testing.assert_array_equal(video.frame(number), read_picture(tmp_path / "out" / name))


def test_numbered_frames_of_16_bits_stay_so(tmp_path: Path) -> None:
    frames = [257 * pixels.astype(np.uint16) for pixels in exposed_frames(7, (0, 1, 2), 2.0)]
    folder = numbered_folder(tmp_path / "in", frames)
    done = livemef("fuse", folder, "--exposures", "3", "--ev", "2", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "5 frames 96x64 of 3 exposures" in done.stdout
    assert cv2.imread(str(tmp_path / "out" / "000004.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_frames_that_are_not_fused_are_counted_as_read(tmp_path: Path) -> None:
    frames = exposed_frames(40)
    folder = numbered_folder(tmp_path / "in", [*frames[:15], *[frames[0]] * 14, *frames[16:]])
    done = livemef("fuse", folder, "--exposures", "2", "--ev", "3", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    fused = len(list((tmp_path / "out").iterdir()))
    assert fused < 52
    assert f"{52 - fused} frames not fused" in done.stdout
    assert "could be read" not in done.stdout
    done = livemef("fuse", folder, "--exposures", "2", "--ev", "3", "-o", tmp_path / "out2", "--json")
    summary = json.loads(done.stdout)
    assert (summary["frames"], summary["announced"], summary["fused"]) == (53, 53, fused)


def test_the_pixels_are_those_of_run(tmp_path: Path) -> None:
    """In every lap of a loop anew: a subscriber cannot be there before the first frames are sent."""
    path = clip(tmp_path / "clip.mkv", count=40, speed=3.0)
    assert livemef("fuse", path, "--ev", "3", "-o", tmp_path / "out").returncode == 0
    place = f"ipc://{tmp_path}/fused"
    camera = f"file://{path}?ev=3&pace=stepped&loop=on"
    arguments = ["--camera", camera, "--publish", f"pub+bind:{place}", "--no-preview", "--frames", "300"]
    process = subprocess.Popen(
        [sys.executable, "-m", "livemef.tools.cli", "run", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    received = {}
    with Subscriber(f"sub+connect:{place}") as subscriber:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                message = subscriber.receive(0.2)
            except ReceiveTimeout:
                continue
            received[message.header.seq] = message
    assert process.wait(20) == 0
    assert len(received) > 39
    for seq, message in received.items():
        np.testing.assert_array_equal(message.pixels, read_picture(tmp_path / "out" / f"{seq % 39:06}.png"))
        assert message.header.ev_gap == pytest.approx(3)
        assert {source.measured for source in message.header.sources} == {None}


def test_steadiness_is_measured_clip_by_clip(tmp_path: Path) -> None:
    clip(tmp_path / "still.mkv", 16)
    (tmp_path / "index.csv").write_text("file,exposures,ev_step\nstill.mkv,2,3\n")
    done = livemef("lab", "steadiness", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    row, total = map(json.loads, done.stdout.splitlines())
    assert row["clip"] == "still.mkv"
    for way in ("live", "off", "mertens"):
        assert row[way]["frames"] == 15 - 4
        assert row[way]["pulse"] < 0.05
        assert row[way]["still_share"] == 1
        assert total[way]["max"] == row[way]["pulse"]
    assert "still.mkv" in livemef("lab", "steadiness", tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["clip.mkv", "-o", "out.png"], "cannot hold footage"),
        (["clip.mkv", "-o", "clip.mkv"], "is the footage that is read"),
        (["clip.mkv", "-o", "full"], "is not empty"),
        (["clip.mkv", "-o", "nowhere/out.mp4"], "there is no folder nowhere"),
        (["absent.mp4", "--ev", "3", "-o", "out"], "no such file"),
        (["clip.mkv", "--exposures", "8", "-o", "out"], "shorter than a cycle of 8"),
        (["clip.mkv", "--ev", "much", "-o", "out"], "expected a number"),
        (["clip.mkv", "clip.mkv", "--ev", "3", "-o", "out.png"], "are for footage"),
        (["full/notes.txt", "-o", "out"], "not a whole video"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    clip(tmp_path / "clip.mkv", 6)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("not empty")
    assert_one_line(livemef("fuse", *arguments, cwd=tmp_path), words)
    assert not list(tmp_path.glob(".*"))
