"""One topic's pictures as H.264, encoded once for all browsers; each gets the part that it does not have yet."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.errors import FusionError
from livemef.tools.exits import UserError
from livemef.tools.video.h264 import BT709_PRIMARIES, LIMITED_RANGE, SMPTE_170M, SRGB_CURVE, even, i420

ENCODER = "libx264"
OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20", "forced-idr": "1", "x264-params": "deblock=0,0"}
"""Each picture leaves the encoder at once, and needs only earlier ones. The deblocking that ultrafast leaves out costs
nothing and gives .5 to 1 dB.
"""
USUAL_RATE = 30
KEY_FRAME_EVERY = 300
"""Key frames come when a browser needs one. These are for nobody."""
MOST_KEPT = 32
"""Pictures that a browser may be behind; with more it waits for the next key frame."""
KEPT_KEY_FRAMES = 2
"""Bytes that are kept, in key frames: for a browser that is behind by more, a key frame is less."""

Position = tuple[int, int]
"""The last chunk that a browser has: its track and index."""
_numbers = itertools.count()


class EncoderFailed(FusionError):
    """The encoder is not there or refuses; the text says why, and what helps."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A picture in Annex B form (ITU-T H.264). track: of one encoder; index: from 0, without gaps."""

    track: int
    index: int
    is_key: bool
    data: bytes

    @property
    def position(self) -> Position:
        """The position of who has it."""
        return self.track, self.index


def chunks_after(kept: Sequence[Chunk], have: Position | None) -> list[Chunk] | None:
    """Those of `kept` (consecutive, up to the newest) that a browser which has `have` needs to show the newest; none
    needed: []. None: with these it cannot, it needs a key frame.
    """
    keys = [at for at, chunk in enumerate(kept) if chunk.is_key]
    if have is not None and have[0] == kept[0].track and have[1] >= kept[0].index - 1:
        new = have[1] + 1 - kept[0].index
        return list(kept[max(new, keys[-1] if keys else 0) :])
    return list(kept[keys[-1] :]) if keys else None


def codec_of(key_frame: bytes) -> str:
    """The codec's name for WebCodecs, "avc1.PPCCLL" (RFC 6381): profile, constraints, level of the SPS in a key frame.
    Raises EncoderFailed where there is none.
    """
    for at in range(len(key_frame) - 6):
        if key_frame[at : at + 3] == b"\0\0\1" and key_frame[at + 3] & 31 == 7:
            return f"avc1.{key_frame[at + 4 : at + 7].hex()}"
    raise EncoderFailed("the H.264 encoder writes no sequence parameters into its key frames")


class H264Track:
    """An encoder for pictures of one size, and its newest chunks. Used by one thread. Raises EncoderFailed."""

    def __init__(self, width: int, height: int) -> None:
        """width, height: even."""
        self.size = width, height
        self.codec = ""
        self._number, self._index = next(_numbers), 0
        self._kept: deque[Chunk] = deque(maxlen=MOST_KEPT)
        self._key_bytes = 0
        try:
            import av
        except ImportError:
            raise EncoderFailed("the camera's machine lacks PyAV: pip install 'livemef[video]' there") from None
        self._av = av
        self._context = self._opened()

    @property
    def kept(self) -> tuple[Chunk, ...]:
        """The newest chunks, consecutive; at least one after the first `add`."""
        return tuple(self._kept)

    def _opened(self) -> Any:
        try:
            context: Any = self._av.CodecContext.create(ENCODER, "w")
            context.width, context.height = self.size
            context.pix_fmt = "yuv420p"
            context.time_base, context.framerate = Fraction(1, USUAL_RATE), Fraction(USUAL_RATE)
            context.gop_size, context.max_b_frames = KEY_FRAME_EVERY, 0
            context.thread_count = 1  # more would take more of the machine than the page may
            context.colorspace, context.color_range = SMPTE_170M, LIMITED_RANGE
            context.color_primaries, context.color_trc = BT709_PRIMARIES, SRGB_CURVE
            context.options = OPTIONS
            context.open()
        except (self._av.error.FFmpegError, ValueError) as error:
            raise EncoderFailed(f"the camera's PyAV cannot encode with {ENCODER}: {error}") from None
        return context

    def add(self, picture: NDArray[np.uint8], key: bool) -> None:
        """Encode a picture of `size` (uint8, BGR). key: it must be one that a browser can begin with."""
        frame = self._av.VideoFrame.from_ndarray(i420(picture), format="yuv420p")
        frame.pts = self._index
        if key:
            frame.pict_type = self._av.video.frame.PictureType.I
        try:
            packets = self._context.encode(frame)
        except self._av.error.FFmpegError as error:
            raise EncoderFailed(f"the camera's H.264 encoder failed: {error}") from None
        if len(packets) != 1:
            raise EncoderFailed(f"the camera's H.264 encoder gave {len(packets)} pictures for one")
        self._keep(Chunk(self._number, self._index, bool(packets[0].is_keyframe), bytes(packets[0])))
        self._index += 1

    def _keep(self, chunk: Chunk) -> None:
        if chunk.is_key:
            self._key_bytes = len(chunk.data)
            self.codec = codec_of(chunk.data)
        self._kept.append(chunk)
        while len(self._kept) > 1 and sum(len(one.data) for one in self._kept) > KEPT_KEY_FRAMES * self._key_bytes:
            self._kept.popleft()


class H264Tracks:
    """A track for each topic that is sent. Used by one thread."""

    def __init__(self) -> None:
        self._tracks: dict[str, H264Track] = {}

    def add(self, topic: str, picture: Pixels, key: bool) -> H264Track:
        """The topic's track, with the picture (uint8) as its newest; a new one for a new size. Raises EncoderFailed."""
        try:
            fitting = even(picture)
        except UserError as error:
            raise EncoderFailed(str(error)) from None
        height, width = fitting.shape[:2]
        track = self._tracks.get(topic)
        if track is None or track.size != (width, height):
            track = self._tracks[topic] = H264Track(width, height)
        track.add(fitting, key)
        return track

    def keep_only(self, topics: set[str]) -> None:
        """Close the encoders of all other topics."""
        for topic in self._tracks.keys() - topics:
            del self._tracks[topic]
