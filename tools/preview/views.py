"""Pictures made ready for browsers: scaled down, as JPEG and H.264, each once for all who look."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from livemef.capture.files.image_io import to_8_bit
from livemef.capture.frame import Pixels
from livemef.fusion.stream.codecs import compress
from livemef.fusion.stream.wire import FUSED, MOTION, decode
from livemef.tools.preview.feed import Feed, Received
from livemef.tools.preview.h264_track import EncoderFailed, H264Tracks
from livemef.tools.preview.scopes import scope_of
from livemef.tools.preview.view_message import JPEG, PNG, Bytes, Picture, Video, View, described_header

FUSED_WIDTH = 1280
EXPOSURE_WIDTH = 640
VIEW_QUALITY = 82
SNAPSHOT_QUALITY = 95
SHORTEST_INTERVAL_S = 1 / 30
REST_FACTOR = 1.0
"""Seconds of rest for a second of encoding: the page takes at most half of one core, and less when the
machine is busy.
"""
KEY_FRAME_INTERVAL_S = 1.0
"""Between two key frames that browsers have asked for: each costs all browsers its bytes."""


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
    """What browsers want, all together. jpeg, h264: as what they take the pictures; fused_jpeg: somebody takes the
    fused picture alone, as JPEG. large: topics at FUSED_WIDTH instead of EXPOSURE_WIDTH.
    """

    jpeg: bool = False
    h264: bool = False
    fused_jpeg: bool = False
    scopes: bool = False
    large: frozenset[str] = frozenset({FUSED})

    @property
    def whole(self) -> bool:
        """Whether somebody wants more than the fused picture."""
        return self.jpeg or self.h264

    def and_also(self, other: Wishes) -> Wishes:
        """Both."""
        return Wishes(
            self.jpeg or other.jpeg,
            self.h264 or other.h264,
            self.fused_jpeg or other.fused_jpeg,
            self.scopes or other.scopes,
            self.large | other.large,
        )


class PictureMaker:
    """Makes what is wished of received pictures. Used by one thread.

    lack: why there is no H.264, "" = there is, as far as it was tried.
    """

    def __init__(self) -> None:
        self.lack = ""
        self._tracks = H264Tracks()
        self._made: dict[str, tuple[Received, Wishes, list[Picture]]] = {}

    def make(self, wanted: list[Received], wishes: Wishes, key: bool) -> list[Picture]:
        """The pictures, and those of their waveforms. key: those in H.264 are to be key frames. Raises WireError."""
        if not wishes.whole:
            wanted = [one for one in wanted if one.topic == FUSED]
        self._tracks.keep_only({one.topic for one in wanted} if wishes.h264 else set())
        return [picture for one in wanted for picture in self._made_of(one, wishes, key)]

    def _made_of(self, received: Received, wishes: Wishes, key: bool) -> list[Picture]:
        """An exposure may be the newest one for longer than the fused picture: it is not encoded again then."""
        before = self._made.get(received.topic)
        if before is None or before[0] is not received or before[1] != wishes or (key and wishes.h264):
            before = self._made[received.topic] = (received, wishes, self._encoded(received, wishes, key))
        return before[2]

    def _encoded(self, received: Received, wishes: Wishes, key: bool) -> list[Picture]:
        full = decode(received.parts).pixels
        large = received.topic in wishes.large | {FUSED}
        pixels = to_8_bit(scaled_to(full, FUSED_WIDTH if large else EXPOSURE_WIDTH))
        video = self._video(received.topic, pixels, key) if wishes.h264 else None
        as_jpeg = wishes.jpeg or (wishes.fused_jpeg and received.topic == FUSED) or (wishes.h264 and video is None)
        scope = scope_of(full) if wishes.scopes and received.topic != MOTION else None
        jpeg = to_jpeg(pixels, VIEW_QUALITY) if as_jpeg else None
        measured = None if scope is None else scope.described(received.header.seq)
        made = [Picture(_described(received), JPEG, jpeg, video, measured)]
        if scope is not None:
            about = {"topic": f"waveform/{received.topic}", "seq": received.header.seq, "source": None, "motion": None}
            made.append(Picture(about, PNG, compress(scope.waveform, "png")))
        return made

    def _video(self, topic: str, pixels: Pixels, key: bool) -> Video | None:
        if self.lack:
            return None
        try:
            track = self._tracks.add(topic, pixels, key)
        except EncoderFailed as error:
            self.lack = str(error)
            return None
        return Video(track.codec, track.kept)


def _described(received: Received) -> dict[str, Any]:
    header = described_header(received.header)
    described = {"topic": received.topic, "seq": received.header.seq, "source": None, "motion": None}
    if received.topic == MOTION:
        described["motion"] = header["motion"]
    elif received.topic != FUSED and received.header.sources:
        described["source"] = header["sources"][0]
    return described


class ViewMaker:
    """Makes views when they are asked for, one at a time; browsers that ask at the same time share one."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._worker = ThreadPoolExecutor(1, "preview-encoder")
        self._pictures = PictureMaker()
        self._making: asyncio.Task[View] | None = None
        self._made: View | None = None
        self._not_before_s = 0.0
        self._key_wanted, self._no_key_before_s = False, 0.0
        self._wishes: dict[object, Wishes] = {}

    def close(self) -> None:
        """End the worker."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def wish(self, who: object, wishes: Wishes | None) -> None:
        """Note what `who` wants from the next view on, instead of what it wanted before; None: nothing."""
        self._wishes.pop(who, None)
        if wishes is not None:
            self._wishes[who] = wishes

    def want_key_frame(self) -> None:
        """Have a view soon whose H.264 pictures a browser can begin with."""
        self._key_wanted = True

    async def after(self, key: tuple[str, int] | None, timeout_s: float) -> View | None:
        """The newest view, once it is of another fused picture than `key`. None if none came in time."""
        if self._making is None:
            await asyncio.sleep(self._not_before_s - time.monotonic())
        if self._made is not None and self._made.received.key != key and self._is_newest(self._made.received.key):
            return self._made
        received = await self._feed.fused_after(key, timeout_s)
        return None if received is None else await self._made_of(received)

    async def again(self, lacking: View, timeout_s: float) -> View | None:
        """A view made after `lacking`, which was made without what somebody takes: of the same picture if there is no
        newer one, since a camera may stand still. None if none was made in time.
        """
        wait_s = max(self._not_before_s, self._no_key_before_s if self._key_wanted else 0.0) - time.monotonic()
        await asyncio.sleep(min(wait_s, timeout_s))
        if self._made is not lacking:
            return self._made
        newest = self._feed.newest_fused
        return None if newest is None or wait_s > timeout_s else await self._made_of(newest)

    async def _made_of(self, received: Received) -> View | None:
        """The view that is being made, else one of `received`."""
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._make(received))
            self._making.add_done_callback(self._finished)
        await asyncio.shield(self._making)
        return self._made

    def _is_newest(self, key: tuple[str, int]) -> bool:
        newest = self._feed.newest_fused
        return newest is not None and newest.key == key

    def _finished(self, task: asyncio.Task[View]) -> None:
        self._making = None

    async def _make(self, received: Received) -> View:
        loop, began_s = asyncio.get_running_loop(), time.monotonic()
        wanted = [received, *self._feed.beside()]
        wishes = Wishes()
        for one in self._wishes.values():
            wishes = wishes.and_also(one)
        key = self._key_wanted and began_s >= self._no_key_before_s
        if key:
            self._key_wanted, self._no_key_before_s = False, began_s + KEY_FRAME_INTERVAL_S
        pictures = await loop.run_in_executor(self._worker, self._pictures.make, wanted, wishes, key)
        spent_s = time.monotonic() - began_s
        self._not_before_s = began_s + max(SHORTEST_INTERVAL_S, spent_s * (1 + REST_FACTOR))
        self._made = View(received, self._feed.stats(), pictures, wishes.whole, self._pictures.lack)
        return self._made
