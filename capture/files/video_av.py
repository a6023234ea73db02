"""Footage from a video file by PyAV (FFmpeg's own libraries), which is there with the extra `video`.

It reads what OpenCV's FFmpeg does not: AV1 without a decoder in hardware, interlaced footage (OpenCV 5 returns whatever
was in memory), the matrix of BT.2020.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from livemef.capture.errors import CaptureError
from livemef.capture.frame import Pixels

LOG = logging.getLogger("livemef.capture.files")

HDR_CURVES = {16: "PQ", 18: "HLG"}
"""Transfer characteristics (ITU-T H.273) of HDR footage."""


class AvVideoFile:
    """A video file, decoded to 8-bit BGR: turned upright, matrix and range as stated in the file (BT.601 and limited
    range where nothing is). Interlaced frames keep both fields. Frames are read in order; going back decodes from the
    start. See livemef.capture.files.video.Footage.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises CaptureError if it is no video, ImportError without PyAV."""
        import av

        self._av: Any = av
        # Titles that are not UTF-8 are no fault. PyAV 19 takes them as they are, and knows the argument no more.
        self._lenient = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
        self.path = path
        self._open()
        stream = self._stream
        rate = float(stream.average_rate or 0)
        self.fps: float | None = rate if 0.01 <= rate <= 1000 else None
        self.length: int | None = stream.frames or self._announced(rate)
        curve = HDR_CURVES.get(getattr(stream.codec_context, "color_trc", 0))
        if curve is not None:
            LOG.warning("%s: is HDR footage (%s), whose curve is not converted: colours will be dull", path.name, curve)

    def _open(self) -> None:
        try:
            self._container = self._av.open(f"file:{self.path}", **self._lenient)
        except (self._av.FFmpegError, ValueError, OSError):
            raise CaptureError(f"video {self.path}: not a whole video file that FFmpeg can read") from None
        if not self._container.streams.video:
            self._container.close()
            raise CaptureError(f"video {self.path}: holds no pictures")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._frames, self._next = self._decoded(), 0
        self._last: Pixels | None = None

    def _announced(self, rate: float) -> int | None:
        seconds = float(self._stream.duration * self._stream.time_base) if self._stream.duration else 0.0
        if not seconds and self._container.duration:
            seconds = self._container.duration / self._av.time_base
        return round(seconds * rate) or None

    def _decoded(self) -> Iterator[Any]:
        """Frames to the end of the file, or to where it breaks off; packets that cannot be decoded are left out."""
        packets = iter(self._container.demux(self._stream))
        while True:
            try:
                yield from next(packets).decode()
            except StopIteration:
                return
            except self._av.error.InvalidDataError:
                continue
            except self._av.FFmpegError:
                return

    def frame(self, number: int) -> Pixels | None:
        """See Footage."""
        if number == self._next - 1 and self._last is not None:
            return self._last
        if number < self._next:
            self._container.close()
            self._open()
        while (frame := next(self._frames, None)) is not None:
            self._next += 1
            if self._next > number:
                shown = frame.reformat(  # the matrix stated, since PyAV 17 takes every one for BT.601
                    format="bgr24", src_colorspace=frame.colorspace, src_color_range=frame.color_range
                )
                self._last = _upright(shown.to_ndarray(), frame)
                return self._last
        return None

    def name(self, number: int) -> str:
        """See Footage."""
        return f"frame {number}"

    def close(self) -> None:
        """See Footage."""
        self._container.close()


def _upright(pixels: Pixels, frame: Any) -> Pixels:
    """Pixels as the frame's display matrix wants them shown: quarter turns and mirrors (libavutil/display.h)."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    across, down, _, across_rows, down_rows = np.sign(np.frombuffer(bytes(matrix), np.int32)[:5])
    if across == 0:
        pixels, across, down_rows = pixels.swapaxes(0, 1), across_rows, down
    return np.ascontiguousarray(pixels[:: int(down_rows) or 1, :: int(across) or 1])
