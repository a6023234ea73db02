"""`livemef push` to media servers that others made: GStreamer's for RTSP, node-media-server for RTMP."""

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tools.run.test_run import free_port
from tests.tools.video.pictures_source import HEIGHT, LEFT, RIGHT, Source
from tests.tools.video.test_push import frames_in, pushing

pytest.importorskip("av", reason="needs the extra video")
pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]
SYSTEM_PYTHON = "/usr/bin/python3"
GST = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
NODE_FOLDER = Path(__file__).parents[3] / "build" / "media-server"
NODE_SERVER = NODE_FOLDER / "node_modules" / "node-media-server" / "bin" / "app.js"


def has_gst():
    return (
        Path(SYSTEM_PYTHON).exists() and not subprocess.run([SYSTEM_PYTHON, "-c", GST], capture_output=True).returncode
    )


@contextlib.contextmanager
def running(*command):
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


def wait_for_port(port):
    end_s = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < end_s
        time.sleep(0.1)


def assert_shows_the_source(frame):
    np.testing.assert_allclose(frame[HEIGHT // 2, 20], LEFT, atol=6)
    np.testing.assert_allclose(frame[HEIGHT // 2, -20], RIGHT, atol=6)


@pytest.mark.skipif(not has_gst(), reason="needs GStreamer's RTSP server, see gst_rtsp_server.py")
def test_gstreamers_rtsp_server_receives_the_pictures(tmp_path):
    port = free_port()
    script = Path(__file__).with_name("gst_rtsp_server.py")
    with (
        Source(f"ipc://{tmp_path}/s"),
        running(SYSTEM_PYTHON, script, port, tmp_path / "got.mkv") as server,
    ):
        assert server.stdout.readline() == "ready\n"
        with pushing(f"rtsp://127.0.0.1:{port}/camera", f"ipc://{tmp_path}/s", "--frames", 100) as push:
            out, err = push.communicate(timeout=100)
        assert push.returncode == 0, out + err
        assert "100 pictures" in out
        time.sleep(1)
    frames = frames_in(tmp_path / "got.mkv")
    assert len(frames) > 80
    assert_shows_the_source(frames[-1])


@pytest.mark.skipif(
    not (NODE_SERVER.is_file() and shutil.which("node")),
    reason=f"needs node 20 and: npm install --prefix {NODE_FOLDER} node-media-server",
)
def test_a_player_gets_from_node_media_server_what_was_pushed_by_rtmp(tmp_path):
    rtmp, http = free_port(), free_port()
    ports = ["--rtmp-port", rtmp, "--http-port", http, "--rtmps-port", free_port(), "--https-port", free_port()]
    words = [NODE_SERVER, "--bind", "127.0.0.1", *ports, "--data-path", tmp_path / "data", "--no-admin"]
    with Source(f"ipc://{tmp_path}/s"), running("node", *words):
        wait_for_port(rtmp)
        with pushing(f"rtmp://127.0.0.1:{rtmp}/live/camera", f"ipc://{tmp_path}/s") as push:
            try:
                time.sleep(3)
                player = cv2.VideoCapture(f"http://127.0.0.1:{http}/live/camera.flv", cv2.CAP_FFMPEG)
                taken = [player.read() for _ in range(20)]
                player.release()
                assert all(came for came, _ in taken)
                assert_shows_the_source(taken[-1][1])
            finally:
                push.terminate()
                out, err = push.communicate(timeout=60)
        assert push.returncode == 0, out + err
