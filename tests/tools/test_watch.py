import json
import os
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.stream.publisher import Publisher
from livemef.tools.watch_counts import WatchCounts
from tests.fusion.stream.stream_samples import header, ramp


def watching(*arguments):
    command = [sys.executable, "-m", "livemef.tools.cli", "watch", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


INTERRUPTED_WATCH = """
import signal, sys
from livemef.tools import watch
from livemef.tools.cli import main
waiting = watch._Watch.frames
def frames(self, limit):
    for step in waiting(self, limit):
        signal.raise_signal(signal.SIGINT)
        yield step
watch._Watch.frames = frames
sys.exit(main(["watch", sys.argv[1]]))
"""


class Source(threading.Thread):
    """Publishes a picture every 10 ms, 40 ms after its sensor time, leaving out the numbers in `lost`."""

    def __init__(self, place, lost=(), dtype=np.uint8):
        super().__init__(daemon=True)
        self._place, self._lost, self._dtype = place, lost, dtype
        self._over = threading.Event()

    def run(self):
        with Publisher(f"pub+bind:{self._place}") as publisher:
            while not publisher.wanted("fused") and not self._over.wait(0.01):
                pass
            for seq in range(100_000):
                if self._over.wait(0.01):
                    break
                if seq not in self._lost:
                    sensor_ns = time.time_ns() - 40_000_000
                    publisher.publish("fused", header(seq, timestamp_wall_ns=sensor_ns), ramp(self._dtype, 8, 8))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def test_json_ends_with_the_documented_line(tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Source(place, lost={5, 6, 40}):
        process = watching(f"sub+connect:{place}", "--frames", "150", "--json")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    last = lines[-1]
    assert list(last)[:4] == ["frames", "fps", "gaps", "latency_ms"]
    assert (last["frames"], last["gaps"], last["restarts"]) == (150, 3, 0)
    assert last["fps"] > 0
    assert 40 <= last["latency_ms"]["median"] <= last["latency_ms"]["p95"]
    assert len(lines) >= 2
    assert lines[0]["size"] == [8, 8]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_saves_lossless_pictures(tmp_path, dtype):
    place, folder = f"ipc://{tmp_path}/s", tmp_path / "new" / "pictures"
    with Source(place, dtype=dtype):
        process = watching(f"sub+connect:{place}", "--frames", "5", "--save", str(folder))
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("5 frames")
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 5
    assert all(name.endswith(".png") and not name.startswith(".") for name in names)
    np.testing.assert_array_equal(cv2.imread(str(folder / names[0]), cv2.IMREAD_UNCHANGED), ramp(dtype, 8, 8))


def test_interrupt_ends_with_the_last_line_and_success(tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Source(place):
        process = watching(f"sub+connect:{place}", "--json")
        assert json.loads(process.stdout.readline())["frames"] > 0
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["gaps"] == 0


def test_interrupt_before_any_frame_leaves_a_line_as_well(tmp_path):
    place = f"ipc://{tmp_path}/none"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED_WATCH, f"sub+connect:{place}"], stdout=subprocess.PIPE, text=True
    )
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, f"no frame came from sub+connect:{place}\n")


def test_a_publisher_that_is_not_there(tmp_path):
    process = watching(f"sub+connect:ipc://{tmp_path}/none", "--timeout", "0.3", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "within 0.3 s" in err
    assert json.loads(out) == {
        "frames": 0,
        "fps": 0.0,
        "gaps": 0,
        "latency_ms": {"median": None, "p95": None},
        "after_readout_ms": {"median": None, "p95": None},
        "after_readout_by_exposure_ms": {},
        "restarts": 0,
        "malformed": 0,
    }


def test_malformed_messages_are_counted_and_passed_over(tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Publisher(f"pub+bind:{place}") as publisher:
        process = watching(f"sub+connect:{place}", "--frames", "5", "--json")
        while not publisher.wanted("fused"):
            time.sleep(0.01)
        seq = 0
        while process.poll() is None:  # more than are needed: the publisher drops what a busy machine does not take
            publisher._socket.send_multipart([b"fused", b"{", b""])
            publisher.publish("fused", header(seq), ramp())
            seq += 1
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    last = json.loads(out.splitlines()[-1])
    assert last["frames"] == 5
    assert last["malformed"] > 0


def test_nothing_but_malformed_messages_is_said(tmp_path):
    place = f"ipc://{tmp_path}/s"
    with Publisher(f"pub+bind:{place}") as publisher:
        process = watching(f"sub+connect:{place}", "--timeout", "1")
        while process.poll() is None:
            if publisher.wanted("fused"):
                publisher._socket.send_multipart([b"fused", b"{", b""])
            time.sleep(0.02)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "malformed messages" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:5556", "pub+bind:tcp://127.0.0.1:5556", "sub+connect:tcp://127.0.0.1:x"]
)
def test_a_wrong_endpoint(endpoint):
    process = watching(endpoint)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert endpoint in err


@pytest.mark.full
def test_a_malformed_message(tmp_path):
    context = zmq.Context()
    foreign = context.socket(zmq.XPUB)
    foreign.bind(f"ipc://{tmp_path}/s")
    try:
        process = watching(f"sub+connect:ipc://{tmp_path}/s")
        assert foreign.poll(30_000)
        foreign.send_multipart([b"fused", b'{"version": 99}', b""])
        out, err = process.communicate(timeout=60)
    finally:
        context.destroy(linger=0)
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "wire version 99" in err


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    process = watching(f"sub+connect:ipc://{tmp_path}/s", "--save", str(tmp_path / "file" / "x"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


@given(st.lists(st.floats(0.001, 10), max_size=50))
def test_rate_is_intervals_over_time(steps):
    counts, now = WatchCounts(), 100.0
    counts.note(now, 1.0)
    assert counts.fps == 0.0
    for step in steps:
        now += step
        counts.note(now, 1.0)
    if steps:
        assert counts.fps == pytest.approx(len(steps) / sum(steps), rel=1e-6)


def test_latency_percentiles():
    counts = WatchCounts()
    for latency in range(101):
        counts.note(float(latency), float(latency))
    assert counts.latency_ms() == {"median": 50.0, "p95": 95.0}


def test_times_after_readout_are_kept_by_exposure():
    counts = WatchCounts()
    for number in range(10):
        counts.note(number, 50.0, 10.0 + number % 2, number % 2)
    counts.note(10, 50.0)
    assert counts.frames == 11
    assert counts.by_exposure() == {0: {"median": 10.0, "p95": 10.0}, 1: {"median": 11.0, "p95": 11.0}}
    assert counts.after_readout()["median"] == 10.5
