"""`python -m tests.soak`: what a run survives. Two trials, each on a run of its own with the simulated camera.

    python -m tests.soak kill --times 100     # SIGKILL or SIGSTOP of a process, at random; times to the next frame
    python -m tests.soak peers --seconds 600  # rate and memory without, then with hostile readers and subscribers

Prints one JSON line a trial, and ends with exit code 1 if the run did not recover, or slowed down or grew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import psutil
import zmq

from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber

ROOT = Path(__file__).parents[2]
CAMERA = "sim://?size=320x240&fps=15&seed=1"
RECOVERY_LIMIT_S = 60.0
SLOWDOWN = 0.7
ROUNDS = 4
PARTS = ("capture", "fusion", "preview")
"""Processes that are struck, by the names that they give themselves."""
GROWTH_MB = 200.0


class Run:
    """`livemef run` whose standard output and error nobody reads."""

    def __init__(self) -> None:
        self.port, self.page = _free_port(), _free_port()
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "livemef", "run", "--json", "--camera", CAMERA]
        self.process = subprocess.Popen(
            [*command, "--publish", f"pub+bind:{self.endpoint}", "--preview", f"127.0.0.1:{self.page}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def children(self) -> dict[str, psutil.Process]:
        """The processes by their part."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                found[child.name().removeprefix("livemef-")] = child
            except psutil.NoSuchProcess:
                continue
        return {part: child for part, child in found.items() if part in PARTS}

    def memory_mb(self) -> float:
        """Of the fusion process, less what it shares."""
        used = self.children()["fusion"].memory_info()
        return float(used.rss - used.shared) / 1e6

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return -9


@contextmanager
def running() -> Iterator[tuple[Run, Subscriber]]:
    """A run that publishes, and a subscriber to it."""
    run = Run()
    try:
        with Subscriber(f"sub+connect:{run.endpoint}") as frames:
            frames.receive(120)
            yield run, frames
    finally:
        if run.process.poll() is None:
            run.process.kill()


def kill_at_random(times: int, seed: int) -> bool:
    """Kill or stop a process again and again; how long until a frame arrives that was taken after it, or, for the
    page's process, until the page shows a picture.
    """
    chance, waits, lost = random.Random(seed), {}, 0
    with running() as (run, frames):
        for _ in range(times):
            time.sleep(chance.uniform(0.0, 2.0))
            parts = run.children()
            if not parts:
                continue
            part = chance.choice(sorted(parts))
            number = chance.choice((signal.SIGKILL, signal.SIGSTOP))
            struck_ns = time.time_ns()
            try:
                parts[part].send_signal(number)
            except psutil.NoSuchProcess:
                continue
            wait_s = _time_to_page(run.page) if part == "preview" else _time_to_next_frame(frames, struck_ns)
            if wait_s is None:
                lost += 1
            waits.setdefault((part, number.name), []).append(wait_s or RECOVERY_LIMIT_S)
        alive, code = run.process.poll() is None, run.end()
    for (part, name), found in sorted(waits.items()):
        middle, worst = statistics.median(found), max(found)
        numbers = {"times": len(found), "median_s": round(middle, 2), "worst_s": round(worst, 2)}
        print(json.dumps({"trial": "kill", "part": part, "signal": name} | numbers), flush=True)
    recovered = alive and code == 0 and not lost
    print(
        json.dumps({"trial": "kill", "seed": seed, "recovered": recovered, "lost": lost, "exit_code": code}), flush=True
    )
    return recovered


def _time_to_next_frame(frames: Subscriber, since_ns: int) -> float | None:
    """Seconds from `since_ns` until a frame is received whose sensor time is later; None = not within the limit.

    A process that was stopped may have left frames on their way: those were taken before.
    """
    deadline = time.monotonic() + RECOVERY_LIMIT_S
    while time.monotonic() < deadline:
        try:
            message = frames.receive(1.0)
        except ReceiveTimeout:
            continue
        if message.header.timestamp_wall_ns > since_ns + 100_000_000:
            return (time.time_ns() - since_ns) / 1e9
    return None


def _time_to_page(port: int) -> float | None:
    """Seconds until the page has a picture again; None = not within the limit."""
    began = time.monotonic()
    while (waited_s := time.monotonic() - began) < RECOVERY_LIMIT_S:
        time.sleep(0.1)
        with suppress(OSError, HTTPException), urlopen(f"http://127.0.0.1:{port}/snapshot.jpg", timeout=1) as answer:
            if answer.status == 200 and answer.read():
                return waited_s
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hostile_peers(seconds: float) -> bool:
    """Rate and memory without and with hostile peers, in turn on the same run: other programs' load comes and goes."""
    without: list[dict[str, float]] = []
    troubled: list[dict[str, float]] = []
    with running() as (run, frames):
        for _ in range(ROUNDS):
            without.append(_measured(run, frames, seconds / (2 * ROUNDS)))
            peers = [_never_receives(run), _asks_for_topics(run, 100_000)]
            troubled.append(_measured(run, frames, seconds / (2 * ROUNDS)))
            for peer in peers:
                peer.close()
        code = run.end()
    rates = [statistics.median(one["fps"] for one in found) for found in (without, troubled)]
    sound = code == 0 and rates[1] > SLOWDOWN * rates[0] and troubled[-1]["mb"] < without[0]["mb"] + GROWTH_MB
    summary = {"trial": "peers", "without": without, "with": troubled, "exit_code": code, "sound": sound}
    print(json.dumps(summary), flush=True)
    return sound


def _measured(run: Run, frames: Subscriber, seconds: float) -> dict[str, float]:
    end, count, most_mb = time.monotonic() + seconds, 0, 0.0
    looked = 0.0
    while (now := time.monotonic()) < end:
        frames.receive(30)
        count += 1
        if now - looked > 1.0:
            looked, most_mb = now, max(most_mb, run.memory_mb())
    return {"fps": round(count / seconds, 2), "mb": round(most_mb, 1)}


def _never_receives(run: Run) -> socket.socket:
    """A subscriber to everything that reads nothing."""
    peer = _zmtp(run.port)
    peer.sendall(b"\x00\x01\x01")
    return peer


def _asks_for_topics(run: Run, count: int) -> socket.socket:
    """A subscriber that asks for `count` topics, and receives what comes."""
    peer = _zmtp(run.port)

    def ask() -> None:
        try:
            for number in range(count):
                body = b"\x01exposure/0/%d" % number
                peer.sendall(bytes((0, len(body))) + body)
            while peer.recv(1 << 16):
                pass
        except OSError:
            return

    threading.Thread(target=ask, daemon=True).start()
    return peer


def _zmtp(port: int) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port), timeout=60)
    peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    greeting = b""
    while len(greeting) < 64:
        greeting += peer.recv(64 - len(greeting))
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 3) + b"SUB"
    peer.sendall(bytes((4, len(ready))) + ready)
    peer.recv(256)
    return peer


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="What a run survives.")
    parser.add_argument("trial", choices=("kill", "peers"))
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0, help="of measuring, half of them with peers")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, pyzmq {zmq.__version__}", flush=True)
    sound = kill_at_random(given.times, given.seed) if given.trial == "kill" else hostile_peers(given.seconds)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
