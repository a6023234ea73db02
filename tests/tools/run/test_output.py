"""Nobody reads what the pipeline prints: a full pipe, a full disk, a closed stream. The pipeline goes on, and ends when
it is asked to."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from livemef.fusion.stream.subscriber import Subscriber
from livemef.tools.run.output import OutputQueue
from tests.quick import quick
from tests.tools.run.test_run import ROOT, SMALL_CAMERA, free_port

PIPE_BYTES = 4096
COMMAND = [sys.executable, "-m", "livemef.tools.cli", "run", "--no-preview", "--camera", SMALL_CAMERA]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reading, writing
    for end in (reading, writing):
        with suppress(OSError):
            os.close(end)


def test_lines_arrive_in_order(pipe: tuple[int, int]) -> None:
    queue = OutputQueue(pipe[1])
    for number in range(50):
        print(number, "ä\udcff", file=queue)
    queue.finish()
    assert os.read(pipe[0], PIPE_BYTES).decode().splitlines() == [f"{n} ä\\udcff" for n in range(50)]
    assert queue.lost == 0


def test_a_pipe_that_nobody_reads_takes_no_time_and_keeps_the_newest(pipe: tuple[int, int]) -> None:
    queue = OutputQueue(pipe[1], most_waiting=10)
    began = time.monotonic()
    for number in range(3000):
        print("x" * 100, number, file=queue)
    queue.finish(limit_s=0.1)
    assert time.monotonic() - began < 10
    assert queue.lost > 2900
    os.set_blocking(pipe[0], False)
    assert b"x" in os.read(pipe[0], PIPE_BYTES)


def test_a_reader_that_went_away_loses_text_only(pipe: tuple[int, int]) -> None:
    queue = OutputQueue(pipe[1])
    os.close(pipe[0])
    for number in range(10):
        print(number, file=queue)
    queue.finish()
    assert queue.lost == 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_loses_text_only() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    queue = OutputQueue(full)
    print("lost", file=queue)
    queue.finish()
    assert queue.lost == 1
    os.close(full)


class Run:
    """`livemef run` with streams that are in a bad way."""

    def __init__(self, *arguments: str, **streams: Any) -> None:
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "livemef.tools.cli", "run", "--no-preview", "--camera", SMALL_CAMERA]
        self.process = subprocess.Popen(
            [*command, "--publish", f"pub+bind:{self.endpoint}", *arguments], cwd=ROOT, **streams
        )

    def frames(self, count: int, watch: Subscriber) -> None:
        for _ in range(count):
            watch.receive(30.0)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(45)


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.process.kill()
        run.process.wait()


def small_pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


@pytest.mark.parametrize("number", quick([signal.SIGTERM, signal.SIGHUP, signal.SIGINT], 1))
def test_streams_that_nobody_reads_stop_nothing(runs: list[Run], number: int) -> None:
    """Pipes that were full from the start, as they are after some minutes of nobody reading."""
    ends = [small_pipe(), small_pipe()]
    for _, writing in ends:
        os.set_blocking(writing, False)
        os.write(writing, b"x" * PIPE_BYTES)
        os.set_blocking(writing, True)
    runs.append(Run("--json", stdout=ends[0][1], stderr=ends[1][1]))
    with Subscriber(f"sub+connect:{runs[0].endpoint}") as watch:
        runs[0].frames(60, watch)
    assert runs[0].end(number) == 0
    for end in ends:
        for descriptor in end:
            os.close(descriptor)


def test_streams_that_are_closed_stop_nothing(runs: list[Run]) -> None:
    def close() -> None:
        for descriptor in (0, 1, 2):
            os.close(descriptor)

    runs.append(Run("--json", preexec_fn=close))
    with Subscriber(f"sub+connect:{runs[0].endpoint}") as watch:
        runs[0].frames(10, watch)
    assert runs[0].end() == 0


@pytest.mark.full
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disks_stop_nothing(runs: list[Run]) -> None:
    with Path("/dev/full").open("w") as full:
        runs.append(Run("--json", stdout=full, stderr=full))
    with Subscriber(f"sub+connect:{runs[0].endpoint}") as watch:
        runs[0].frames(40, watch)
    assert runs[0].end() == 0


@pytest.mark.full
def test_a_reader_that_goes_away_stops_nothing(runs: list[Run]) -> None:
    runs.append(Run("--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    stdout: IO[bytes] | None = runs[0].process.stdout
    assert stdout is not None
    json.loads(stdout.readline())
    stdout.close()
    with Subscriber(f"sub+connect:{runs[0].endpoint}") as watch:
        runs[0].frames(60, watch)
    assert runs[0].end() == 0


def test_too_few_files_are_told_in_one_line() -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    command = [
        sys.executable,
        "-m",
        "livemef.tools.cli",
        "run",
        "--no-preview",
        "--camera",
        SMALL_CAMERA,
        "--frames",
        "3",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert "open files" in done.stderr
    assert "Traceback" not in done.stderr
