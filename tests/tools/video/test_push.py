"""`livemef push`: what other programs (FFmpeg by its own command line and in OpenCV) receive from it."""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.tools.exits import UserError
from livemef.tools.video import push
from livemef.tools.video.h264 import TIME_BASE, i420, next_pts
from tests.tools.video.pictures_source import HEIGHT, LEFT, RIGHT, WIDTH, Source, picture

pytest.importorskip("av", reason="needs the extra video")


def pushing(*words):
    command = [sys.executable, "-m", "livemef.tools.cli", "push", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pushed(*words, code=0):
    with pushing(*words) as process:
        out, err = process.communicate(timeout=100)
    assert process.returncode == code, out + err
    return out, err


def frames_in(path):
    video = cv2.VideoCapture(str(path))
    found = []
    while (read := video.read())[0]:
        found.append(read[1])
    return found


@pytest.fixture
def source(tmp_path):
    with Source(f"ipc://{tmp_path}/s") as running:
        yield running


@pytest.fixture
def endpoint(source, tmp_path):
    return f"ipc://{tmp_path}/s"


@given(st.lists(st.integers(0, 2**62), min_size=2, max_size=30))
def test_presentation_times_rise_whatever_the_clock_does(stamps):
    pts = last = None
    for stamp in stamps:
        before, pts = pts, next_pts(pts, last or 0, stamp)
        last = stamp
        assert before is None or 0 < pts - before <= 10 / TIME_BASE


def test_presentation_times_are_the_sensors():
    assert next_pts(None, 0, 5) == 0
    assert next_pts(100, 1_000_000_000, 1_020_000_000) == 100 + 1800


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_a_file(suffix, endpoint, tmp_path):
    out, err = pushed(tmp_path / f"o{suffix}", endpoint, "--frames", 12)
    assert err == ""
    assert "12 pictures" in out
    frames = frames_in(tmp_path / f"o{suffix}")
    assert len(frames) == 12
    assert frames[0].shape == (HEIGHT - 1, WIDTH, 3)  # an odd row cannot be coded
    for frame in frames[::5]:  # OpenCV converts by BT.601's matrix, as was written
        np.testing.assert_allclose(frame[HEIGHT // 2, 20], LEFT, atol=4)
        np.testing.assert_allclose(frame[HEIGHT // 2, -20], RIGHT, atol=4)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_16_bits_are_sent_as_8(tmp_path):
    with Source(f"ipc://{tmp_path}/w", picture(dtype=np.uint16)):
        pushed(tmp_path / "o.mkv", f"ipc://{tmp_path}/w", "--frames", 2)
    np.testing.assert_allclose(frames_in(tmp_path / "o.mkv")[0][60, 20], LEFT, atol=4)


def test_ctrl_c_leaves_a_whole_file(endpoint, tmp_path):
    with pushing(tmp_path / "o.mp4", endpoint) as process:
        while not (tmp_path / ".o.partial.mp4").exists():
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert len(frames_in(tmp_path / "o.mp4")) == int(re.search(r"(\d+) pictures", out)[1]) > 0


def test_another_size_ends_a_file_whole(source, endpoint, tmp_path):
    with pushing(tmp_path / "o.mkv", endpoint) as process:
        while not (tmp_path / ".o.partial.mkv").exists():
            time.sleep(0.1)
        time.sleep(0.5)
        source.picture = picture(80, 60)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "80x60" in err
    assert frames_in(tmp_path / "o.mkv")


def test_an_rtsp_server_receives(endpoint, tmp_path):
    """FFmpeg's own RTSP receiver; the colours are read by the tags that were sent."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"rtsp://127.0.0.1:{port}/livemef"
    command = ["ffmpeg", "-v", "error", "-rtsp_flags", "listen", "-i", url, "-frames:v", "5", "-pix_fmt", "bgr24"]
    with subprocess.Popen([*command, str(tmp_path / "o%d.png")], stdin=subprocess.DEVNULL) as receiver:
        for _ in range(100):  # FFmpeg says nothing when it begins to listen
            with pushing(url, endpoint, "--retry", 0) as process:
                process.communicate(timeout=60)
            if receiver.poll() is not None:
                break
            time.sleep(0.2)
        assert receiver.wait(30) == 0
    got = cv2.imread(str(tmp_path / "o5.png"))
    np.testing.assert_allclose(got[60, 20], LEFT, atol=4)
    np.testing.assert_allclose(got[60, -20], RIGHT, atol=4)


@pytest.mark.full
def test_a_server_that_goes_away_and_comes_back(endpoint):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pushing(url, endpoint) as process:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    assert connection.recv(188)[:1] == b"\x47"  # MPEG-TS packets begin so
            connection, _ = server.accept()
            connection.recv(188)
            process.send_signal(signal.SIGTERM)
            reader = threading.Thread(target=drained, args=(connection,))
            reader.start()
            out, err = process.communicate(timeout=60)
            reader.join()
    assert process.returncode == 0
    assert err.count("trying again") == err.count("\n") >= 2
    assert "connected 3 times" in out


def drained(connection):
    with connection, contextlib.suppress(OSError):
        while connection.recv(1 << 16):
            pass


STALLED = """
import sys
from livemef.tools.video import push
with push.time_limit("x: took nothing", 0.2):
    __import__("time").sleep(60)
"""


def test_a_server_that_stands_still_ends_it():
    done = subprocess.run([sys.executable, "-c", STALLED], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (2, "livemef: x: took nothing\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rtsp://127.0.0.1:1/x"], "Connection refused"),
        (["http://x/y"], "is not known here"),
        (["o.gif"], "neither a URL nor a file"),
        (["nowhere/o.mkv"], "there is no folder"),
        (["there.mkv"], "is there already"),
        (["o.mkv", "--bitrate", "fast"], "as 4M"),
        (["o.mkv", "--encoder", "mp3"], "libx264"),
        (["o.mkv", "--topic", "exposure"], "no topic of pictures"),
        (["o.mp4", "--bitrate", "200k"], None),
    ],
)
def test_wrong_words(words, said, endpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.mkv").write_bytes(b"")
    _, err = pushed(words[0], endpoint, *words[1:], "--frames", 2, code=2 if said else 0)
    if said:
        assert said in err
        assert err.count("\n") == 1


def test_bits_per_second():
    assert [push.bits_per_second(text) for text in ("", "800k", "1.5M", "9")] == [0, 800_000, 1_500_000, 9]
    with pytest.raises(UserError):
        push.bits_per_second("0")


def test_chroma_is_the_mean_of_four_pixels_of_bt601():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:, ::2] = (40, 80, 240)
    planes = i420(picture)
    blue, green, red = (picture[:2, :2].reshape(-1, 3).mean(0) / 255).tolist()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = 128 + 224 * np.array([(blue - luma) / 1.772, (red - luma) / 1.402])  # ITU-R BT.601, 8 bits
    np.testing.assert_allclose(planes[4:].reshape(2, 4).mean(1), expected, atol=1.0)
    assert planes[0, 1] == 16
