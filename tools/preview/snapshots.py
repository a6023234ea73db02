"""Full-size pictures for whoever asks, at a bounded cost: one at a time, with rests, shared by all who wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from livemef.fusion.stream.codecs import compress
from livemef.fusion.stream.wire import decode
from livemef.tools.preview.crops import Box, cropped_png
from livemef.tools.preview.feed import Received
from livemef.tools.preview.view_message import Bytes
from livemef.tools.preview.views import REST_FACTOR, SNAPSHOT_QUALITY, to_jpeg

Snapshot = tuple[Received, Bytes]


class SnapshotMaker:
    """Encodes snapshots. Requests that come while one is made wait for the next, and share it."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "preview-snapshot")
        self._turn = asyncio.Lock()
        self._newest: Received | None = None
        self._made: dict[str, Snapshot] = {}
        self._not_before_s = 0.0

    def close(self) -> None:
        """End the worker."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def encoded(self, received: Received, suffix: str) -> Snapshot:
        """`received` or a newer picture as a file ("jpg" or "png"), with what it shows. Raises WireError."""
        if self._newest is None or received.at_s > self._newest.at_s:
            self._newest = received
        async with self._turn:
            made = self._made.get(suffix)
            if made is not None and made[0].at_s >= received.at_s:
                return made
            made = await self._encode(lambda: self._newest or received, suffix)
            self._made = {suffix: made}
            return made

    async def encoded_this(self, received: Received, suffix: str) -> Snapshot:
        """`received` itself as a file, for who has seen just that picture. Raises WireError."""
        async with self._turn:
            return await self._encode(lambda: received, suffix)

    async def cropped(self, received: Received, box: Box) -> Bytes:
        """A part of a picture as PNG. Raises WireError."""
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._worker, _crop, received, box)

    async def _encode(self, chosen: Callable[[], Received], suffix: str) -> Snapshot:
        await asyncio.sleep(max(0.0, self._not_before_s - time.monotonic()))
        received, began_s = chosen(), time.monotonic()
        encoded = await asyncio.get_running_loop().run_in_executor(self._worker, _encode, received, suffix)
        ended_s = time.monotonic()
        self._not_before_s = ended_s + REST_FACTOR * (ended_s - began_s)
        return received, encoded


def _encode(received: Received, suffix: str) -> Bytes:
    pixels = decode(received.parts).pixels
    return compress(pixels, "png") if suffix == "png" else to_jpeg(pixels, SNAPSHOT_QUALITY)


def _crop(received: Received, box: Box) -> Bytes:
    return cropped_png(decode(received.parts).pixels, box)
