"""`livemef push TARGET`: fused pictures as H.264 to a media server, a player or a file."""

from __future__ import annotations

import itertools
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from livemef.fusion.stream.subscription import Subscription, subscribe
from livemef.fusion.stream.wire import FUSED, picture_topic
from livemef.tools.counted import counted
from livemef.tools.exits import DONE, SURROUNDINGS, UserError, visible
from livemef.tools.streams import complain, interrupt_on_signals
from livemef.tools.video.h264 import (
    FORMATS,
    SUFFIXES,
    Encoding,
    H264Output,
    OutputFailed,
    SizeChanged,
    even,
    h264_encoders,
)
from livemef.tools.watch import endpoint_of_run

RETRY_S = 2.0
STALL_S = 15.0
"""A server that takes nothing for so long is given up. FFmpeg's own writes know no limit."""
_RATE = re.compile(r"(\d+(?:\.\d+)?)([kM]?)")


def push_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="rtsp://HOST:PORT/NAME (MediaMTX, go2rtc); tcp://, udp://, srt:// (MPEG-TS); rtmp://; "
            "or a file .mkv .mp4 .mov .ts.",
        ),
    ],
    endpoint: Annotated[
        str | None, typer.Argument(metavar="ENDPOINT", help="Where to listen; by default where run publishes.")
    ] = None,
    topic: Annotated[str, typer.Option(help="fused, exposure/0 (the darkest) ..., motion.")] = FUSED,
    bitrate: Annotated[str, typer.Option(help="Bits a second, as 4M or 800k; by default constant quality.")] = "",
    encoder: Annotated[
        str, typer.Option(help="FFmpeg's H.264 encoder; h264_v4l2m2m on a Raspberry Pi 4, h264_nvenc with NVIDIA.")
    ] = "libx264",
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many pictures.")] = None,
    retry: Annotated[float, typer.Option(min=0, help="Seconds to try again for when the server goes away.")] = 60.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Give up after so many seconds without a picture.")] = 10.0,
) -> int:
    """Send the fused pictures as H.264 video: to a media server, a player, or into a file. Needs the extra video.

    Example: livemef push rtsp://127.0.0.1:8554/livemef
    """
    interrupt_on_signals()
    url, encoding = checked_target(target), Encoding(checked_encoder(encoder), bits_per_second(bitrate))
    pusher = _Pusher(url, encoding, retry)
    with subscribe(endpoint or endpoint_of_run(), (picture_topic(topic),), timeout_s=timeout, newest=True) as pictures:
        try:
            pusher.push(pictures, frames)
        except KeyboardInterrupt:
            pass
        finally:
            print(pusher.summary(pictures), flush=True)
    return DONE


def checked_target(target: str) -> str:
    """The target, if it is a URL or file that can be written. Raises UserError."""
    scheme, separator, _ = target.partition("://")
    if separator:
        if scheme not in FORMATS:
            raise UserError(f"{target}: {scheme}:// is not known here; one of {', '.join(sorted(FORMATS))}, or a file")
        return target
    path = Path(target)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{target}: neither a URL nor a file that ends in {' '.join(sorted(SUFFIXES))}")
    if path.exists():
        raise UserError(f"{target}: is there already; nothing is overwritten")
    if not path.parent.is_dir():
        raise UserError(f"{target}: there is no folder {path.parent}; make it first")
    return target


def checked_encoder(name: str) -> str:
    """The name, if PyAV has an encoder for H.264 that is called so. Raises UserError."""
    if name not in (known := h264_encoders()):
        raise UserError(f"--encoder {name}: this PyAV encodes H.264 by {', '.join(known)}")
    return name


def bits_per_second(text: str) -> int:
    """4M is 4,000,000; an empty text 0. Raises UserError."""
    if not text:
        return 0
    match = _RATE.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise UserError(f"--bitrate {text}: a number with k or M is needed, as 4M")
    return round(float(match[1]) * {"": 1, "k": 1_000, "M": 1_000_000}[match[2]])


class _Pusher:
    """Writes pictures until the end, opening the target again when it was lost."""

    def __init__(self, url: str, encoding: Encoding, retry_s: float) -> None:
        self._url, self._encoding, self._retry_s = url, encoding, retry_s
        self._is_file = "://" not in url
        self._pushed = self._connections = 0

    def summary(self, pictures: Subscription) -> str:
        """The last line."""
        again = f", connected {self._connections} times" if self._connections > 1 else ""
        return f"{visible(self._url)}: {counted(self._pushed, 'picture')}, {pictures.missed.gaps} missed{again}"

    def push(self, pictures: Subscription, limit: int | None) -> None:
        """Write up to `limit` pictures. Raises OutputFailed, ReceiveTimeout."""
        lost_s = None
        while limit is None or self._pushed < limit:
            before = self._pushed
            try:
                self._write_until_lost(pictures, limit)
            except (OutputFailed, SizeChanged) as error:
                lost_s = time.monotonic() if lost_s is None or self._pushed > before else lost_s
                if self._is_file or not self._connections or time.monotonic() - lost_s > self._retry_s:
                    raise
                complain(f"livemef: {error}; trying again")
                time.sleep(RETRY_S)

    def _write_until_lost(self, pictures: Subscription, limit: int | None) -> None:
        first = next(pictures)
        height, width = even(first.pixels).shape[:2]
        with time_limit(f"{self._url}: did not answer within {STALL_S:g} s"):
            output = H264Output(self._url, self._encoding, (width, height))
        self._connections += 1
        try:
            for message in itertools.chain([first], pictures):
                with time_limit(f"{self._url}: took nothing for {STALL_S:g} s"):
                    output.write(message)
                self._pushed += 1
                if self._pushed == limit:
                    break
        except OutputFailed:
            output.discard()
            raise
        except BaseException:  # interrupted, no more pictures, another size: what was written is whole
            self._close(output)
            raise
        self._close(output)

    def _close(self, output: H264Output) -> None:
        with time_limit(f"{self._url}: could not be finished within {STALL_S:g} s"):
            output.close()


@contextmanager
def time_limit(complaint: str, limit_s: float = STALL_S) -> Iterator[None]:
    """End this process, exit code 2, if the body takes longer: FFmpeg's writes to a server that stands still wait for
    ever, and cannot be interrupted from Python.
    """

    def end() -> None:
        complain(f"livemef: {complaint}")
        os._exit(SURROUNDINGS)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
