"""Pictures to H.264 in a container, by PyAV: a file, or a stream to a media server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from livemef.capture.files.image_io import to_8_bit
from livemef.fusion.stream.wire import Message
from livemef.tools.exits import UserError

TIME_BASE = Fraction(1, 90_000)
"""Seconds a tick: the clock of RTP video (RFC 6184)."""
LONGEST_GAP_S = 10.0
USUAL_GAP_S = 1 / 30
KEY_FRAME_EVERY = 60
"""Frames between two that a player can begin with: 2 s at 30 frames/s."""
FORMATS = {"rtsp": "rtsp", "rtsps": "rtsp", "tcp": "mpegts", "udp": "mpegts", "srt": "mpegts", "rtmp": "flv"}
"""FFmpeg's container for each scheme of a URL; of a file it is told by the suffix."""
SUFFIXES = frozenset({".mkv", ".mp4", ".mov", ".ts"})
SMPTE_170M, BT709_PRIMARIES, SRGB_CURVE, LIMITED_RANGE = 6, 1, 13, 1
"""ITU-T H.273: OpenCV converts by BT.601's matrix to limited range; the pictures' primaries and curve are sRGB's."""


def next_pts(last_pts: int | None, last_ns: int, now_ns: int) -> int:
    """Presentation time in ticks of TIME_BASE: 0 for the first picture (last_pts None), afterwards the sensor's times.

    Where a clock was set (backwards, or by more than LONGEST_GAP_S) a usual gap is taken: a player waits for no hole.
    """
    if last_pts is None:
        return 0
    gap_s = (now_ns - last_ns) / 1e9
    if not 0 < gap_s <= LONGEST_GAP_S:
        gap_s = USUAL_GAP_S
    return last_pts + max(1, round(gap_s / TIME_BASE))


def even(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """BGR, 8 bits, width and height even: H.264's chroma is halved, so an odd last row or column is left out."""
    height, width = pixels.shape[0] & ~1, pixels.shape[1] & ~1
    if not height or not width:
        raise UserError(f"a picture of {pixels.shape[1]}x{pixels.shape[0]} pixels is too small for H.264")
    return np.ascontiguousarray(to_8_bit(pixels[:height, :width]))


def i420(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Planes Y, U, V one below the other (BT.601, limited range) of BGR with even sides: 1.5 x height rows.

    OpenCV's own conversion takes the chroma of every other pixel; here it is the mean of four, which keeps thin
    coloured lines.
    """
    height, width = picture.shape[:2]
    planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
    half = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    _, red, blue = cv2.split(cv2.cvtColor(half, cv2.COLOR_BGR2YCrCb))  # full range
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    for plane, difference in zip(chroma, (blue, red), strict=True):
        plane[:] = cv2.convertScaleAbs(difference, alpha=224 / 255, beta=128 - 128 * 224 / 255)
    return planes


@dataclass(frozen=True)
class Encoding:
    """How to encode. encoder: FFmpeg's name; bits_per_second: 0 = constant quality."""

    encoder: str = "libx264"
    bits_per_second: int = 0

    def options(self) -> dict[str, str]:
        """FFmpeg's options for the encoder: no delay, quick."""
        if self.encoder != "libx264":
            return {}
        return {"preset": "superfast", "tune": "zerolatency"} | ({} if self.bits_per_second else {"crf": "23"})


class OutputFailed(UserError):
    """The file, the server or the encoder refused; FFmpeg's words say why."""


class SizeChanged(UserError):
    """The pictures have another size than those before."""


class H264Output:
    """A container that takes pictures of one size. A file has a temporary name until `close`.

    Opening, writing and closing raise OutputFailed.
    """

    def __init__(self, url: str, encoding: Encoding, size: tuple[int, int]) -> None:
        """url: a file, or a URL of FFmpeg's; size: width and height, even."""
        import av

        self._av, self._url, self.size = av, url, size
        self._last_pts: int | None = None
        self._last_ns = 0
        self._path = None if "://" in url else Path(url)
        form = None if self._path else FORMATS.get(url.partition("://")[0])
        options = {"rtsp_transport": "tcp"} if form == "rtsp" else {}
        with self._failures():
            self._container = av.open(str(self._partial or url), "w", format=form, options=options, timeout=10.0)
            try:
                self._stream = self._new_stream(encoding)
                self._container.start_encoding()
            except BaseException:
                self.discard()
                raise

    @property
    def _partial(self) -> Path | None:
        return self._path and self._path.with_name(f".{self._path.stem}.partial{self._path.suffix}")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """FFmpeg's errors as OutputFailed, in one line."""
        try:
            yield
        except (self._av.error.FFmpegError, OSError) as error:
            raise OutputFailed(f"{self._url}: {error.strerror or error}") from None

    def _new_stream(self, encoding: Encoding) -> Any:
        stream = self._container.add_stream(encoding.encoder, rate=30, options=encoding.options())
        context = stream.codec_context
        context.width, context.height = self.size
        context.pix_fmt = "yuv420p"
        context.time_base = stream.time_base = TIME_BASE
        context.gop_size, context.max_b_frames = KEY_FRAME_EVERY, 0
        context.colorspace, context.color_range = SMPTE_170M, LIMITED_RANGE
        context.color_primaries, context.color_trc = BT709_PRIMARIES, SRGB_CURVE
        if encoding.bits_per_second:
            context.bit_rate = encoding.bits_per_second
        return stream

    def write(self, message: Message) -> None:
        """Append the message's picture, at its sensor's time. Raises SizeChanged."""
        picture = even(message.pixels)
        if (picture.shape[1], picture.shape[0]) != self.size:
            shape = f"{picture.shape[1]}x{picture.shape[0]}"
            raise SizeChanged(f"{self._url}: pictures have {shape} pixels now, not {self.size[0]}x{self.size[1]}")
        self._last_pts = next_pts(self._last_pts, self._last_ns, message.header.timestamp_wall_ns)
        self._last_ns = message.header.timestamp_wall_ns
        frame = self._av.VideoFrame.from_ndarray(i420(picture), format="yuv420p")
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        with self._failures():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and close: a file then has its own name."""
        with self._failures():
            if self._last_pts is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if self._path and self._partial:
                self._partial.replace(self._path)

    def discard(self) -> None:
        """Give it up; a file is removed."""
        with suppress(OutputFailed), self._failures():
            self._container.close()
        if self._partial:
            self._partial.unlink(missing_ok=True)


def h264_encoders() -> list[str]:
    """FFmpeg's H.264 encoders that this PyAV has; whether their hardware is there shows when one is opened."""
    import av

    h264 = av.Codec("h264", "r").id
    found = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "w")
        except ValueError:
            continue
        if codec.id == h264:
            found.append(name)
    return found
