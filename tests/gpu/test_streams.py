"""Streams on a GPU: motion, several exposures, brackets in flight, a ring's memory, a whole run: `make test-gpu`."""

import json
import mmap
import subprocess
import sys

import numpy as np
import pytest

import livemef
from livemef.engine.net_on_host import NetOnHost
from livemef.engine.open_net import open_net
from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cuda.fuser import CudaFuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.bench.scene import PanningStream

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]


def fusers(settings=None):
    """One on the GPU and one on the CPU, with the very same network."""
    settings = settings or FusionSettings()
    net = open_net("cbm", "cpu")
    return CudaFuser(NetOnHost(net), settings), CpuFuser(net, settings)


@pytest.mark.parametrize("mode", ["full", "global", "off"])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (321, 203)])
def test_a_stream_is_that_of_the_cpu(size, count, mode):
    on_gpu, on_cpu = fusers(FusionSettings(motion=mode))
    stream = PanningStream(*size, count)
    for _ in range(4 * count):
        pictures, moments = stream.next()
        found, wanted = (fuser.fuse(pictures, moments=moments) for fuser in (on_gpu, on_cpu))
        difference = np.abs(found.pixels.astype(int) - wanted.pixels)
        assert (difference <= 2).mean() > 0.99
        assert difference.mean() < 0.5
        if mode != "off":
            assert found.motion.share == pytest.approx(wanted.motion.share, abs=0.02)


def test_brackets_in_flight_are_those_that_wait():
    stream = PanningStream(640, 360, 2)
    brackets = [stream.next() for _ in range(12)]
    waiting, flying = fusers()[0], fusers()[0]
    wanted = [waiting.fuse(pictures, moments=moments).pixels.copy() for pictures, moments in brackets]
    pending = [flying.begin(pictures, moments=moments) for pictures, moments in brackets]
    for begun, pixels in zip(pending, wanted, strict=True):
        np.testing.assert_array_equal(begun.finish().pixels, pixels)


def test_a_ring_s_memory_is_read_in_place():
    fuser, other = fusers()[0], fusers()[0]
    pictures, moments = PanningStream(640, 360, 2).next()
    memory = np.frombuffer(mmap.mmap(-1, 2 * pictures[0].nbytes), np.uint8)
    views = list(memory.reshape(2, *pictures[0].shape))
    for view, picture in zip(views, pictures, strict=True):
        view[:] = picture
    wanted = other.fuse(pictures, moments=moments).pixels
    with fuser.page_locked(memory):
        out = fuser.buffer_for(pictures[0])
        assert fuser.fuse(views, out, moments).pixels is out
    np.testing.assert_array_equal(out, wanted)


def test_settings_change_between_brackets():
    on_gpu, on_cpu = fusers()
    stream = PanningStream(640, 360, 2)
    for settings in (FusionSettings(gamma=0.8), FusionSettings(network_lines=120), FusionSettings(motion="off")):
        for fuser in (on_gpu, on_cpu):
            fuser.change(settings)
        for _ in range(3):
            pictures, moments = stream.next()
            found, wanted = (fuser.fuse(pictures, moments=moments).pixels for fuser in (on_gpu, on_cpu))
            assert (np.abs(found.astype(int) - wanted) <= 2).mean() > 0.99


def test_a_run_on_the_gpu_is_received(tmp_path):
    endpoint = f"ipc://{tmp_path}/fused"
    command = [sys.executable, "-m", "livemef", "run", "--device", "cuda", "--no-preview", "--json"]
    command += ["--camera", "sim://?size=1280x720", "--publish", f"pub+bind:{endpoint}", "--frames", "90"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with livemef.subscribe(endpoint, timeout_s=120) as frames:
            received = [next(frames) for _ in range(30)]
        out, errors = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 0, errors
    assert {frame.header.device for frame in received} == {"cuda"}
    assert all(np.ptp(frame.image) > 100 for frame in received)
    assert all(json.loads(line) for line in out.splitlines())
