"""Pictures made ready for a browser: scaled down, JPEG, packed into one WebSocket message."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.stream.codecs import compress
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.wire import FUSED, MOTION, decode, header_json
from livemef.tools.preview.feed import Feed, Received
from livemef.tools.preview.scopes import scope_of

FUSED_WIDTH = 1280
EXPOSURE_WIDTH = 640
VIEW_QUALITY = 82
SNAPSHOT_QUALITY = 95
SHORTEST_INTERVAL_S = 1 / 30
REST_FACTOR = 1.0
"""Seconds of rest for a second of encoding: the page takes at most half of one core, and less when the
machine is busy.
"""

Bytes = NDArray[np.uint8]


def to_8_bit(pixels: Pixels) -> Pixels:
    """uint8 from uint8 or uint16, rounded."""
    return pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=255 / 65535)


def scaled_to(pixels: Pixels, width: int) -> Pixels:
    """`pixels`, not wider than `width`; the shape of the picture is kept."""
    height_now, width_now = pixels.shape[:2]
    if width_now <= width:
        return pixels
    size = (width, max(1, round(height_now * width / width_now)))
    # averaging matters from a factor of two; below, it costs ten times as much as it shows
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if width_now >= 2 * width else cv2.INTER_LINEAR)


def to_jpeg(pixels: Pixels, quality: int) -> Bytes:
    """A JPEG file of `pixels` (uint8 or uint16)."""
    done, encoded = cv2.imencode(".jpg", to_8_bit(pixels), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, pixels.shape
    return np.asarray(encoded, np.uint8).reshape(-1)


@dataclass(frozen=True)
class Wishes:
    """What the browsers want, all together. large: topics at FUSED_WIDTH instead of EXPOSURE_WIDTH."""

    scopes: bool = False
    large: frozenset[str] = frozenset({FUSED})


def view_of(received: Received, wishes: Wishes = Wishes()) -> tuple[dict[str, Any], list[tuple[dict[str, Any], Bytes]]]:
    """A picture as the page shows it: its scope (empty unless wished), and description and file of its JPEG and of its
    waveform. Raises WireError for a damaged payload.
    """
    full = decode(received.parts).pixels
    limit = FUSED_WIDTH if received.topic in wishes.large | {FUSED} else EXPOSURE_WIDTH
    jpeg = to_jpeg(scaled_to(full, limit), VIEW_QUALITY)
    header = described_header(received.header)
    described = {"topic": received.topic, "seq": received.header.seq, "source": None, "motion": None}
    if received.topic == MOTION:
        described["motion"] = header["motion"]
    elif received.topic != FUSED and received.header.sources:
        described["source"] = header["sources"][0]
    files = [({**described, "bytes": jpeg.nbytes, "type": "image/jpeg"}, jpeg)]
    if not wishes.scopes or received.topic == MOTION:
        return {}, files
    scope = scope_of(full)
    waveform = compress(scope.waveform, "png")
    about = {"topic": f"waveform/{received.topic}", "seq": received.header.seq, "source": None, "motion": None}
    files.append(({**about, "bytes": waveform.nbytes, "type": "image/png"}, waveform))
    return scope.described(received.header.seq), files


def described_header(header: Header) -> dict[str, Any]:
    """The header as JSON values."""
    values: dict[str, Any] = json.loads(header_json(header))
    return values


def packed(description: dict[str, Any], payloads: list[Bytes]) -> bytes:
    """One message: length of the JSON (32 bits, big-endian), JSON, then the pictures one after the other."""
    text = json.dumps(description).encode()
    return b"".join([len(text).to_bytes(4, "big"), text, *(payload.data for payload in payloads)])


class ViewMaker:
    """Makes views when they are asked for, one at a time; browsers that ask at the same time share one."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._worker = ThreadPoolExecutor(1, "preview-jpeg")
        self._making: asyncio.Task[bytes] | None = None
        self._made: tuple[Received, bytes] | None = None
        self._not_before_s = 0.0
        self.wishes = Wishes()

    def close(self) -> None:
        """End the worker."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def after(self, key: tuple[str, int] | None, timeout_s: float) -> tuple[Received, bytes] | None:
        """The newest view, once it is another than `key`: its fused picture and message. None if none came in time."""
        if self._making is None:
            await asyncio.sleep(self._not_before_s - time.monotonic())
        if self._made is not None and self._made[0].key != key and self._is_newest(self._made[0].key):
            return self._made
        received = await self._feed.fused_after(key, timeout_s)
        if received is None:
            return None
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._make(received))
            self._making.add_done_callback(self._finished)
        await asyncio.shield(self._making)
        return self._made

    def _is_newest(self, key: tuple[str, int]) -> bool:
        newest = self._feed.newest_fused
        return newest is not None and newest.key == key

    def _finished(self, task: asyncio.Task[bytes]) -> None:
        self._making = None

    async def _make(self, received: Received) -> bytes:
        loop, began_s = asyncio.get_running_loop(), time.monotonic()
        wanted = [received, *self._feed.beside()]
        wishes = self.wishes
        views = await loop.run_in_executor(self._worker, lambda: [view_of(one, wishes) for one in wanted])
        spent_s = time.monotonic() - began_s
        self._not_before_s = began_s + max(SHORTEST_INTERVAL_S, spent_s * (1 + REST_FACTOR))
        files = [one for _, found in views for one in found]
        description = {
            "kind": "view",
            "header": described_header(received.header),
            "stats": self._feed.stats(),
            "pictures": [described for described, _ in files],
        }
        if wishes.scopes:
            description["scopes"] = {one.topic: scope for one, (scope, _) in zip(wanted, views, strict=True) if scope}
        message = packed(description, [file for _, file in files])
        self._made = (received, message)
        return message
