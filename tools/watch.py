"""`livemef watch`: the reference subscriber. Shows rate, latency and gaps of a stream; saves its pictures as PNG."""

from __future__ import annotations

import json as json_text
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from livemef.capture.files.image_io import write_atomically
from livemef.fusion.errors import FusionError
from livemef.fusion.stream.codecs import compress
from livemef.fusion.stream.endpoint import Endpoint, parse_endpoint
from livemef.fusion.stream.latency import after_arrival_ms, newest_exposure
from livemef.fusion.stream.subscriber import Subscriber
from livemef.fusion.stream.wire import Message, WireError
from livemef.tools.config.sources import load_config
from livemef.tools.counted import counted
from livemef.tools.streams import interrupt_on_signals
from livemef.tools.watch_counts import WatchCounts

POLL_S = 0.25
"""How often the status line is refreshed while no frame comes."""


def watch_command(
    endpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="ENDPOINT",
            help="Where to listen: sub+connect:tcp://HOST:PORT or ...:ipc:///PATH; by default where run publishes.",
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for the pictures, lossless PNG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON line a second, and one at the end.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Give up after so many seconds without a frame.")] = 10.0,
) -> None:
    """Receive fused frames: rate, latency, gaps.

    Example: livemef watch sub+connect:tcp://192.168.1.20:5556 --save pictures --frames 100
    """
    interrupt_on_signals()
    if save is not None:
        _make_folder(save)
    with Subscriber(endpoint or endpoint_of_run()) as subscriber:
        watch = _Watch(subscriber, timeout, save)
        try:
            with _shown(watch, json) as show:
                for _ in watch.frames(frames):
                    show()
        except KeyboardInterrupt:
            if watch.newest is None and not json:
                print(f"no frame came from {watch.subscriber.endpoint}", flush=True)
        finally:
            _print_end(watch, json)


def endpoint_of_run() -> str:
    """The endpoint that receives what `livemef run` publishes with the same settings. Raises UserError, FusionError."""
    published = parse_endpoint(load_config().config.publish.endpoint, "pub")
    address = re.sub(r"^tcp://(\*|0\.0\.0\.0)(?=:)", "tcp://127.0.0.1", published.address)
    return str(Endpoint("sub", not published.bind, address))


class _Watch:
    """A subscriber and the counts of what it received."""

    def __init__(self, subscriber: Subscriber, timeout_s: float, save: Path | None) -> None:
        self.subscriber = subscriber
        self.counts = WatchCounts()
        self.newest: Message | None = None
        self._timeout_s = timeout_s
        self._save = save
        self._malformation = ""
        self._heard_s = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame, or since the beginning."""
        return time.monotonic() - self._heard_s

    def frames(self, limit: int | None) -> Iterator[None]:
        """Receive up to `limit` frames (None: no end). Yields after each, and while none comes. Raises FusionError."""
        while limit is None or self.counts.frames < limit:
            wait_s = min(POLL_S, max(0.0, self._timeout_s - self.silent_s))
            if self.subscriber.poll(wait_s):
                self._receive()
            if self.silent_s >= self._timeout_s:
                raise FusionError(self._why_silent())
            yield

    def _why_silent(self) -> str:
        silence = f"no frame from {self.subscriber.endpoint} within {self._timeout_s:g} s"
        if self.counts.malformed:
            return f"{silence}, but {self.counts.malformed} malformed messages; the last: {self._malformation}"
        return f"{silence}: is the publisher running, and is this its address?"

    def _receive(self) -> None:
        try:
            message = self.subscriber.receive(self._timeout_s)
        except WireError as error:
            self.counts.malformed += 1
            self._malformation = str(error)
            return
        self._heard_s = time.monotonic()
        latency_ms = (message.received_wall_ns - message.header.timestamp_wall_ns) / 1e6
        after_ms = after_arrival_ms(message.header, message.received_wall_ns)
        self.counts.note(self._heard_s, latency_ms, after_ms, newest_exposure(message.header))
        self.newest = message
        if self._save is not None:
            _save_png(self._save, message)

    def state(self) -> dict[str, object]:
        """The line that `--json` prints every second."""
        counter, newest = self.subscriber.counter, self.newest
        line: dict[str, object] = {"time": round(time.time(), 3)}
        line.update(self.counts.summary(counter.gaps, counter.restarts))
        line["silent_s"] = round(self.silent_s, 3)
        if newest is not None:
            line["seq"] = newest.header.seq
            line["size"] = [newest.header.width, newest.header.height]
            line["verdict"] = newest.header.verdict.value
        return line

    def sentence(self) -> str:
        """The status line for people."""
        counts, counter, newest = self.counts, self.subscriber.counter, self.newest
        if newest is None:
            return f"waiting for {self.subscriber.endpoint} ... {self.silent_s:.0f} s"
        latency = counts.latency_ms()
        parts = [
            counted(counts.frames, "frame"),
            f"{counts.fps:.1f} fps",
            f"latency {latency['median']:.1f} ms (95 %: {latency['p95']:.1f})",
            *_after_readout(counts),
            f"gaps {counter.gaps}",
            f"restarts {counter.restarts}",
            f"{newest.header.width}x{newest.header.height} {newest.header.encoding}",
            newest.header.verdict.value,
        ]
        if counts.malformed:
            parts.append(f"malformed {counts.malformed}")
        if self.silent_s > 2 * POLL_S:
            parts.append(f"no frames since {self.silent_s:.1f} s")
        return "  ".join(parts)


def _after_readout(counts: WatchCounts) -> list[str]:
    """From the last row read to receipt, for each newest exposure, dark to bright; nothing where it is not known."""
    medians = [f"{spread['median']:.1f}" for spread in counts.by_exposure().values()]
    return [f"of it after readout {' / '.join(medians)}"] if medians else []


class _Every:
    """A timer: `due` is true once each period."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last_s = time.monotonic()

    def due(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._last_s < self._period_s:
            return False
        self._last_s = now_s
        return True


@contextmanager
def _shown(watch: _Watch, json: bool) -> Iterator[Callable[[], None]]:
    """A function to call after every step: it prints a JSON line a second, or refreshes the status line."""
    if json:
        second = _Every(1.0)
        yield lambda: print(json_text.dumps(watch.state()), flush=True) if second.due() else None
        return
    console = Console(stderr=True)
    refresh = _Every(POLL_S)
    with Live(Text(watch.sentence()), console=console, auto_refresh=False, transient=True) as live:
        yield lambda: live.update(Text(watch.sentence(), no_wrap=True), refresh=True) if refresh.due() else None


def _print_end(watch: _Watch, json: bool) -> None:
    counter = watch.subscriber.counter
    if json:
        print(json_text.dumps(watch.counts.summary(counter.gaps, counter.restarts)), flush=True)
    elif watch.newest is not None:
        print(watch.sentence(), flush=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FusionError(f"cannot save in {folder}: {error.strerror}") from None


def _save_png(folder: Path, message: Message) -> None:
    """Write STREAM-SEQ.png, atomically. The stream's id in the name keeps pictures of a restarted publisher apart."""
    name = f"{message.header.stream or 'stream'}-{message.header.seq:08d}.png"
    write_atomically(folder / name, compress(message.pixels, "png").tobytes())
