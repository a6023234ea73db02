"""The whole pipeline, as real processes: what it publishes, what it survives, how it ends."""

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from livemef.calibration.profile import ColourSection, new_profile, now, profile_in_force, save_profile
from livemef.capture.cameras.registry import open_camera
from livemef.fusion.stream.subscriber import Subscriber
from tests.quick import quick
from tests.tools.command import assert_one_line, livemef

ROOT = Path(__file__).parents[3]
SMALL_CAMERA = "sim://?size=320x240&fps=30&seed=1"


def free_port() -> int:
    """A port that nobody listens on, below those that Linux gives to whoever asks for any (from 32768 on)."""
    while True:
        port = random.SystemRandom().randrange(16_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Pipeline:
    def __init__(self, *arguments: str, camera: str = SMALL_CAMERA) -> None:
        self.port = free_port()
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "livemef.tools.cli", "run"]
        self.process = subprocess.Popen(
            [*command, "--camera", camera, "--publish", f"pub+bind:{self.endpoint}", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def children(self) -> dict[str, int]:
        """Process ids by role."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        names = {child.name(): child.pid for child in children}
        return {name.removeprefix("livemef-"): pid for name, pid in names.items() if name.startswith("livemef-")}

    def end(self, signal_number: int = signal.SIGINT) -> tuple[str, str, float]:
        began = time.monotonic()
        self.process.send_signal(signal_number)
        out, err = self.process.communicate(timeout=60)
        return out, err, time.monotonic() - began


@pytest.fixture
def pipelines() -> Iterator[Callable[..., Pipeline]]:
    started: list[Pipeline] = []

    def start(*arguments: str, **options: Any) -> Pipeline:
        started.append(Pipeline(*arguments, **options))
        return started[-1]

    yield start
    for pipeline in started:
        if pipeline.process.poll() is None:
            pipeline.process.kill()
        pipeline.process.communicate()


def shared_memory_entries() -> set[str]:
    return set(os.listdir("/dev/shm"))


def test_fused_frames_arrive_and_ctrl_c_leaves_nothing(pipelines: Callable[..., Pipeline]) -> None:
    before = shared_memory_entries()
    pipeline = pipelines("--no-preview", "--json", "--frame-id", "left")
    with Subscriber(f"sub+connect:{pipeline.endpoint}") as subscriber:
        messages = [subscriber.receive(30.0) for _ in range(10)]
    assert messages[-1].header.frame_id == "left"
    children = list(pipeline.children().values())
    assert len(children) == 2
    out, err, _ = pipeline.end()
    assert pipeline.process.returncode == 0, err
    assert messages[-1].pixels.shape == (240, 320, 3)
    assert len(messages[-1].header.sources) == 2
    lights = [source.measured.exposure_us for source in messages[-1].header.sources if source.measured is not None]
    assert messages[-1].header.ev_gap == pytest.approx(math.log2(lights[1] / lights[0]), abs=0.01)
    assert messages[-1].header.model_sha256
    motion, sources = messages[-1].header.motion, messages[-1].header.sources
    assert motion is not None
    assert sources[motion.reference].seq == max(source.seq for source in sources)
    last = json.loads(out.splitlines()[-1])
    for key in ("captured", "labelled", "transitional", "dropped", "fused", "published"):
        assert isinstance(last[key], int), key
    assert last["published"] >= 10
    assert not [pid for pid in children if psutil.pid_exists(pid)]
    assert shared_memory_entries() <= before


@pytest.mark.parametrize("mode", ["full", "off"])
def test_where_things_move_can_be_received(pipelines: Callable[..., Pipeline], mode: str) -> None:
    pipeline = pipelines("--no-preview", "--motion", mode)
    with Subscriber(f"sub+connect:{pipeline.endpoint}", ("fused", "motion")) as subscriber:
        messages = [subscriber.receive(30.0) for _ in range(6)]
    pipeline.end()
    masks = [message for message in messages if message.topic == "motion"]
    assert len(masks) == (3 if mode == "full" else 0)
    for message in masks:
        assert message.header.motion is not None
        assert message.pixels.mean() / 255 == pytest.approx(message.header.motion.share, abs=0.003)
    assert all((message.header.motion is None) == (mode == "off") for message in messages)


TINT = ((1.0, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 0.6))


@pytest.mark.full
def test_the_profile_is_named_in_every_header_and_another_cameras_is_refused(
    pipelines: Callable[..., Pipeline], tmp_path: Path
) -> None:
    path = tmp_path / "camera.toml"
    camera = open_camera(SMALL_CAMERA)
    tint = ColourSection(date=now(), matrix=TINT, de00_patches=(), de00_mean=0.0, de00_p90=0.0, de00_max=0.0)
    save_profile(path, new_profile(camera.info.identity).with_section(colour=tint))
    label = profile_in_force(str(path))[1]
    pipeline = pipelines("--no-preview", "--json", "--profile", str(path))
    with Subscriber(f"sub+connect:{pipeline.endpoint}", topics=("fused", "exposure/")) as subscriber:
        messages = [subscriber.receive(30.0) for _ in range(6)]
    pipeline.end()
    assert [message.header.profile for message in messages] == [label] * 6
    assert [message.header.correction for message in messages] == [("colour",)] * 6
    means = {message.topic: message.pixels.mean(axis=(0, 1)) for message in messages}
    blueness = {topic: blue / red for topic, (blue, _, red) in means.items()}
    delivered = max(value for topic, value in blueness.items() if topic != "fused")
    assert blueness["fused"] > 1.15 * delivered  # exposures are published as the camera delivers them
    for command in (["run", "--no-preview"], ["record", "-o", tmp_path / "r"]):
        other = livemef(*command, "--camera", SMALL_CAMERA.replace("seed=1", "seed=99"), "--profile", path)
        assert_one_line(other, "camera.toml", "is of simulated camera 1,", "is simulated camera 99,")
        missing = livemef(*command, "--camera", SMALL_CAMERA, "--profile", tmp_path / "none.toml")
        assert_one_line(missing, "none.toml", "livemef calibrate")


def test_frames_ends_after_so_many(pipelines: Callable[..., Pipeline]) -> None:
    pipeline = pipelines("--no-preview", "--json", "--frames", "12")
    out, err = pipeline.process.communicate(timeout=60)
    assert pipeline.process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["published"] == 12


def test_a_ring_asked_too_small_does_not_starve_the_fusion(pipelines: Callable[..., Pipeline], tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text("[capture]\nring_slots = 4\nexposures = '1ms,4ms,16ms'\n")
    pipeline = pipelines("--no-preview", "--json", "--frames", "9", "--config", str(config))
    out, err = pipeline.process.communicate(timeout=60)
    assert pipeline.process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["published"] == 9


@pytest.mark.parametrize("role", quick(["fusion", "capture"], 1))
def test_a_killed_process_comes_back(pipelines: Callable[..., Pipeline], role: str) -> None:
    pipeline = pipelines("--no-preview", "--json")
    with Subscriber(f"sub+connect:{pipeline.endpoint}") as subscriber:
        first = subscriber.receive(30.0)
        os.kill(pipeline.children()[role], signal.SIGKILL)
        killed_ns = time.time_ns()
        deadline = time.monotonic() + 60
        fresh = 0
        while fresh < 10:
            assert time.monotonic() < deadline
            message = subscriber.receive(30.0)
            fresh += message.header.timestamp_wall_ns > killed_ns
        assert message.header.timestamp_ns > first.header.timestamp_ns
    out, err, _ = pipeline.end()
    assert pipeline.process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["restarts"][role] == 1
    assert "SIGKILL" in err


@pytest.mark.full
def test_a_killed_preview_comes_back_and_nobody_else_notices(pipelines: Callable[..., Pipeline]) -> None:
    page = free_port()
    pipeline = pipelines("--preview", f"127.0.0.1:{page}", "--json")
    with Subscriber(f"sub+connect:{pipeline.endpoint}") as subscriber:
        wait_for_page(page)
        subscriber.receive(30.0)
        os.kill(pipeline.children()["preview"], signal.SIGKILL)
        subscriber.receive(30.0)
        wait_for_page(page)
    out, err, _ = pipeline.end()
    assert pipeline.process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["restarts"] == {"capture": 0, "fusion": 0, "preview": 1}


def wait_for_page(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the page does not come"
            time.sleep(0.05)


def test_a_killed_supervisor_takes_its_children_along(pipelines: Callable[..., Pipeline]) -> None:
    before = shared_memory_entries()
    pipeline = pipelines("--no-preview", "--json")
    with Subscriber(f"sub+connect:{pipeline.endpoint}") as subscriber:
        subscriber.receive(30.0)
    children = pipeline.children()
    assert set(children) == {"capture", "fusion"}
    pipeline.process.kill()
    pipeline.process.wait()
    _, alive = psutil.wait_procs([psutil.Process(p) for p in children.values() if psutil.pid_exists(p)], timeout=30)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert shared_memory_entries() <= before


def scene_folder(folder: Path) -> Path:
    ramp = np.tile(np.linspace(0, 255, 96, dtype=np.float32), (64, 1))
    for name, gain in (("under", 0.25), ("over", 2.0)):
        codes = np.clip(ramp * gain, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.merge([codes, codes, np.flipud(codes)]))
    return folder


def test_stepped_replay_fuses_every_bracket_and_is_repeatable(
    pipelines: Callable[..., Pipeline], tmp_path: Path
) -> None:
    scene_folder(tmp_path)
    counts = []
    for _ in range(2):
        pipeline = pipelines("--no-preview", "--json", "--frames", "8", camera=f"file://{tmp_path}?pace=stepped")
        out, err = pipeline.process.communicate(timeout=60)
        assert pipeline.process.returncode == 0, err
        counts.append(json.loads(out.splitlines()[-1]))
    assert counts[0]["superseded"] == counts[0]["not_taken"] == 0
    assert counts[0]["fused"] == counts[1]["fused"] == 8


BAD_RUNS = {
    "unknown camera": (["--camera", "nosuch://0"], "nosuch"),
    "misspelt parameter": (["--camera", "sim://?sise=10x10"], "size"),
    "missing folder": (["--camera", "file:///no/such/folder"], "/no/such/folder"),
    "bad endpoint": (["--publish", "pub+bind:udp://x"], "udp"),
    "missing model": (["--model", "/no/such/model.onnx"], "model.onnx"),
    "bad preview": (["--preview", "8080"], "HOST:PORT"),
    "bad exposures": (["--exposures", "1,16"], "1"),
}


@pytest.mark.parametrize(("arguments", "word"), BAD_RUNS.values(), ids=BAD_RUNS.keys())
def test_bad_input_is_one_line_and_exit_code_2(
    pipelines: Callable[..., Pipeline], arguments: list[str], word: str
) -> None:
    pipeline = pipelines(*(arguments if "--preview" in arguments else ["--no-preview", *arguments]))
    _, err = pipeline.process.communicate(timeout=60)
    assert pipeline.process.returncode == 2, err
    assert word in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_occupied_port(pipelines: Callable[..., Pipeline]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        pipeline = pipelines("--no-preview", "--publish", f"pub+bind:tcp://127.0.0.1:{port}")
        _, err = pipeline.process.communicate(timeout=60)
    assert pipeline.process.returncode == 2
    assert str(port) in err
    assert len(err.strip().splitlines()) == 1


def test_corrupt_model(pipelines: Callable[..., Pipeline], tmp_path: Path) -> None:
    model = tmp_path / "broken.onnx"
    model.write_bytes(b"not a network")
    pipeline = pipelines("--no-preview", "--model", str(model))
    _, err = pipeline.process.communicate(timeout=60)
    assert pipeline.process.returncode == 2
    assert "broken.onnx" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.full
def test_a_port_that_was_left_open_is_printed_and_kept_after_a_crash(pipelines: Callable[..., Pipeline]) -> None:
    pipeline = pipelines("--no-preview", "--publish", "pub+bind:tcp://127.0.0.1:0")
    assert pipeline.process.stderr is not None
    line = next(line for line in pipeline.process.stderr if "publishing on" in line)
    published = line.split("publishing on ")[1].split(";")[0]
    assert published.startswith("pub+bind:tcp://127.0.0.1:")
    assert not published.endswith(":0")
    with Subscriber(published.replace("pub+bind", "sub+connect")) as subscriber:
        before = subscriber.receive(30.0).header.stream
        os.kill(pipeline.children()["fusion"], signal.SIGKILL)
        while subscriber.receive(30.0).header.stream == before:
            pass


def test_all_that_was_opened_is_closed(tmp_path: Path) -> None:
    places = ("--preview", f"127.0.0.1:{free_port()}", "--publish", f"pub+bind:ipc://{tmp_path}/fused")
    done = livemef("run", "--camera", SMALL_CAMERA, "--frames", "3", *places, PYTHONWARNINGS="always::ResourceWarning")
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr
