import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemef.capture.errors import CaptureError
from livemef.capture.files.image_io import write_picture
from livemef.capture.files.video import NumberedPictures, VideoFile, VideoWriter, open_footage


def clip(path: Path, levels: list[int], size: tuple[int, int] = (64, 48)) -> Path:
    """A video of even grey frames, a level a frame."""
    writer = VideoWriter(path, size, 25.0)
    for level in levels:
        writer.write(np.full((size[1], size[0], 3), level, np.uint8))
    writer.close()
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_what_is_written_is_read_frame_by_frame(tmp_path: Path, suffix: str) -> None:
    levels = [20, 200, 40, 180, 60, 160]
    video = VideoFile(clip(tmp_path / f"clip{suffix}", levels))
    assert video.fps == pytest.approx(25)
    assert video.length == 6
    for number in (0, 1, 1, 3, 5, 2, 0):  # forwards, again, with gaps, and back
        pixels = video.frame(number)
        assert pixels is not None
        assert pixels.shape == (48, 64, 3)
        assert pixels.mean() == pytest.approx(levels[number], abs=6)
    assert video.frame(6) is None
    assert [path.name for path in tmp_path.iterdir()] == [f"clip{suffix}"]


def test_a_video_given_up_leaves_nothing(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "clip.mp4", (64, 48), 25.0)
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_picture(tmp_path / f"frame{number}.png", np.full((16, 20, 3), number, np.uint16))
    footage = open_footage(tmp_path)
    assert isinstance(footage, NumberedPictures)
    assert footage.length == 3
    assert [footage.frame(number)[0, 0, 0] for number in range(3)] == [1, 2, 10]  # type: ignore[index]
    assert footage.frame(3) is None


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_no_video_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=r"broken\.mp4: not a whole video"):
        open_footage(path)
    with pytest.raises(CaptureError, match=r"not a whole video .*livemef\[video\]"):
        VideoFile(path)
    with pytest.raises(CaptureError, match="no such file"):
        open_footage(tmp_path / "absent.mp4")


@pytest.mark.parametrize("opener", ["VideoFile", "open_footage"])
def test_ffmpeg_prints_no_lines_of_its_own(tmp_path: Path, opener: str) -> None:
    """In a process of its own: OpenCV reads how much may be printed when it first opens a video."""
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all" * 100)
    program = (
        "import contextlib, pathlib, livemef.capture.errors as errors, livemef.capture.files.video as video\n"
        f"with contextlib.suppress(errors.CaptureError):\n    video.{opener}(pathlib.Path({str(path)!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_opencv_may_get_wrong_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    VideoFile(clip(tmp_path / "ours.mp4", [20, 200]))
    assert caplog.text == ""
    path = tmp_path / "theirs.mkv"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), 25.0, (64, 48))
    writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    VideoFile(path)
    assert len(caplog.records) == 1
    assert "theirs.mkv: is read by OpenCV" in caplog.text
    assert "livemef[video]" in caplog.text


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_video_that_did_not_fit_on_the_disk_is_an_error(tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files stands for the disk: FFmpeg gets an error from the system in both cases."""
    writer = VideoWriter(tmp_path / f"clip{suffix}", (64, 48), 25.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        for number in range(40):
            writer.write(np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8))
        with pytest.raises(CaptureError, match="is the disk full"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
