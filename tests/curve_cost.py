"""Cost of keys (CURVE): CPU time, latency and rate of a 1080p stream over ipc, tcp, and tcp with keys. Not a test.

python -m tests.curve_cost [--seconds 5] [--rounds 3] [--size 1920x1080]

A publisher and a subscriber in processes of their own, both livemef's; the ways take turns in each round, since the
machine may be busy. Latency: from just before `publish` to after `receive`, one clock; with "jpeg" that has encoding
and decoding in it. CPU time: of the whole process, per received picture.
"""

import argparse
import itertools
import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from livemef.fusion.stream.header import Header
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber

FPS = 30.0
WAYS = ("ipc", "tcp", "tcp with keys")
CODECS = ("raw", "jpeg")


@dataclass
class Measured:
    """Of one way and codec, over the rounds. CPU ms a picture; ms; pictures a second as fast as they go."""

    publisher_ms: list[float] = field(default_factory=list)
    subscriber_ms: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


def picture(width: int, height: int) -> np.ndarray:
    """Soft shapes with a little noise: compresses like a photograph, not like noise or a flat area."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:height, 0:width]
    soft = 128 + 60 * np.sin(columns / 97.0) + 50 * np.cos(rows / 61.0 + columns / 211.0)
    return np.clip(soft[..., None] + rng.normal(0, 3, (height, width, 3)), 0, 255).astype(np.uint8)


def subscribe(pipe: Connection, endpoint: str, folder: str) -> None:
    """The other process. At each message from the pipe it sends what was received since the last one: CPU seconds,
    latencies (ms), seconds. It ends at the second.
    """
    with Subscriber(endpoint, keys=KeyFolder(Path(folder))) as subscriber:
        pipe.send("ready")
        for _ in range(2):
            latencies: list[float] = []
            began_s, cpu_s = time.monotonic(), time.process_time()
            while not pipe.poll():
                try:
                    message = subscriber.receive(0.2)
                except ReceiveTimeout:
                    continue
                if not latencies:
                    began_s, cpu_s = time.monotonic(), time.process_time()
                latencies.append((time.monotonic_ns() - message.header.timestamp_ns) / 1e6)
            pipe.recv()
            pipe.send((time.process_time() - cpu_s, latencies, time.monotonic() - began_s))


def keys(folder: Path) -> tuple[KeyFolder, KeyFolder]:
    """A publisher's and a subscriber's, who know each other."""
    ours, theirs = KeyFolder(folder / "publisher"), KeyFolder(folder / "subscriber")
    if ours.own() is None:
        ours.allow(theirs.create("subscriber").public)
        theirs.trust("127.0.0.1", ours.create("publisher").public)
    return ours, theirs


def publish(publisher: Publisher, pixels: np.ndarray, seconds: float, paced: bool) -> float:
    """Publish for so long, FPS times a second or as fast as it goes. Returns the CPU seconds of this process."""
    began_s, cpu_s = time.monotonic(), time.process_time()
    for number in itertools.count():
        now_ns = time.monotonic_ns()
        header = Header(seq=number, timestamp_ns=now_ns, clock="monotonic", timestamp_wall_ns=time.time_ns())
        publisher.publish("fused", header, pixels)
        if time.monotonic() > began_s + seconds:
            break
        due_s = began_s + (number + 1) / FPS
        time.sleep(max(0.0, due_s - time.monotonic()) if paced else 0.0005)
    return time.process_time() - cpu_s


def measure(way: str, codec: str, seconds: float, pixels: np.ndarray, into: Measured) -> None:
    """One round of one way: paced, then as fast as it goes."""
    with tempfile.TemporaryDirectory(prefix="livemef-") as folder:
        ours, theirs = keys(Path(folder)) if way == "tcp with keys" else (KeyFolder(Path(folder)),) * 2
        endpoint = {"ipc": f"ipc://{folder}/s", "tcp": "tcp://127.0.0.1:*", "tcp with keys": "tcp://0.0.0.0:*"}[way]
        with Publisher(f"pub+bind:{endpoint}", codec, keys=ours) as publisher:
            assert publisher.mechanism == ("curve" if way == "tcp with keys" else "plain")
            address = publisher.address
            if way == "tcp with keys":
                address = f"tcp://127.0.0.1:{address.rsplit(':', 1)[1]}"
            here, there = multiprocessing.Pipe()
            context: Any = multiprocessing.get_context("spawn")
            process = context.Process(
                target=subscribe, args=(there, f"sub+connect:{address}", str(theirs.folder)), daemon=True
            )
            process.start()
            there.close()
            assert here.poll(120)
            here.recv()
            while not publisher.wanted("fused"):
                time.sleep(0.01)
            for paced in (True, False):
                spent_s = publish(publisher, pixels, seconds, paced)
                time.sleep(0.3)
                here.send("what came?")
                received_cpu_s, latencies, lasted_s = here.recv()
                if paced:
                    into.publisher_ms.append(1000 * spent_s / len(latencies))
                    into.subscriber_ms.append(1000 * received_cpu_s / len(latencies))
                    into.latency_ms += latencies
                else:
                    into.rate.append(len(latencies) / (lasted_s - 0.3))
            process.join(20)


def main() -> None:
    """Measure all ways in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="1920x1080")
    given = parser.parse_args()
    width, height = (int(side) for side in given.size.split("x"))
    pixels = picture(width, height)
    found = {(codec, way): Measured() for codec in CODECS for way in WAYS}
    for _ in range(given.rounds):
        for (codec, way), into in found.items():
            measure(way, codec, given.seconds, pixels, into)
            print(f"{codec} {way}: {into.rate[-1]:.0f} pictures/s", file=sys.stderr, flush=True)
    print(f"{given.size}, {FPS:g} pictures/s, {given.rounds} rounds of {given.seconds:g} s in turn")
    print("| codec | way | publisher, CPU ms | subscriber, CPU ms | latency, median (95 %) | pictures/s at most |")
    print("|---|---|---|---|---|---|")
    for (codec, way), one in found.items():
        late = quantiles(one.latency_ms, n=20)[18]
        print(
            f"| {codec} | {way} | {median(one.publisher_ms):.1f} | {median(one.subscriber_ms):.1f} "
            f"| {median(one.latency_ms):.1f} ({late:.1f}) ms | {median(one.rate):.0f} |"
        )


if __name__ == "__main__":
    main()
