"""Conversion of libcamera's frames: metadata to a record, bytes to a picture. Pure: no camera, no picamera2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.capture.cameras.pixel_formats import FORMATS, bgr
from livemef.capture.cameras.raw_development import RawFormat, develop
from livemef.capture.frame import Exposure, Frame, FrameRecord, Mosaic, Pixels

PROCESSED = {"RGB888": bgr} | {name: FORMATS[name].decode for name in ("NV12", "YUV420", "YUYV", "MJPEG")}
"""Decoders by libcamera's name of the format (its RGB888 has blue first in memory), best first."""
CHANNELS = (1, 2, 3)
"""libcamera's HdrChannel of a short, a medium and a long exposure."""


@dataclass(frozen=True)
class Stream:
    """The configured stream. size: width, height; stride: bytes a line; clock: that of SensorTimestamp.

    channels: the HdrChannels between which the driver alternates by itself, rising; empty = it does not.
    """

    pixel_format: str
    size: tuple[int, int]
    stride: int
    clock: str
    raw: RawFormat | None = None
    channels: tuple[int, ...] = ()

    @property
    def dtype(self) -> str:
        """Dtype of the developed picture."""
        return "uint16" if self.raw else "uint8"


@dataclass(frozen=True)
class Delivered:
    """A copy of a frame as it arrived. timestamp_ns: of the buffer, used where the metadata has no SensorTimestamp."""

    sequence: int
    timestamp_ns: int
    received_ns: int
    metadata: Mapping[str, Any]
    data: NDArray[np.uint8]


def exposure_in(metadata: Mapping[str, Any]) -> Exposure | None:
    """The exposure that the sensor used for this frame; None if the metadata has none."""
    if not metadata.get("ExposureTime"):
        return None
    return Exposure(float(metadata["ExposureTime"]), float(metadata.get("AnalogueGain") or 1.0))


def native_plan(metadata: Sequence[Mapping[str, Any]]) -> dict[int, Exposure]:
    """The last exposure of each HdrChannel in the metadata, in the order of the channels."""
    seen = {_channel(data): exposure for data in metadata if (exposure := exposure_in(data)) is not None}
    return {channel: seen[channel] for channel in CHANNELS if channel in seen}


def _channel(metadata: Mapping[str, Any]) -> int:
    return int(metadata.get("HdrChannel", 0))


def to_frame(delivered: Delivered, stream: Stream, out: Pixels | None = None) -> Frame | None:
    """Picture and record of a frame, of a raw stream with its mosaic; None if its data is damaged.

    out: memory for the picture, of its shape and dtype; None = new memory.
    """
    metadata = delivered.metadata
    mosaic = None if stream.raw is None else _mosaic(delivered, stream, stream.raw)
    pixels = _pixels(delivered, stream, out) if mosaic is None else develop(mosaic, out)
    if pixels is None:
        return None
    record = FrameRecord(
        sequence=delivered.sequence,
        timestamp_ns=int(metadata.get("SensorTimestamp", delivered.timestamp_ns)),
        clock=stream.clock,
        received_ns=delivered.received_ns,
        measured=exposure_in(metadata),
        native_index=stream.channels.index(channel) if (channel := _channel(metadata)) in stream.channels else None,
        white_level=float(np.iinfo(stream.dtype).max),
    )
    return Frame(record, pixels, mosaic)


def _pixels(delivered: Delivered, stream: Stream, out: Pixels | None) -> Pixels | None:
    width, height = stream.size
    return PROCESSED[stream.pixel_format](delivered.data, width, height, stream.stride, out)


def _mosaic(delivered: Delivered, stream: Stream, raw: RawFormat) -> Mosaic:
    """The sensor's values; a copy of the driver's buffer was made when the frame arrived."""
    width, height = stream.size
    itemsize = 1 if raw.bits == 8 else 2
    rows = delivered.data[: height * stream.stride].reshape(height, stream.stride)[:, : width * itemsize]
    values = np.ascontiguousarray(rows).view(np.uint8 if itemsize == 1 else "<u2")
    # libcamera gives black levels on a scale of 16 bits, for red, green, green, blue
    black = min(delivered.metadata.get("SensorBlackLevels", (0,))) / 65536 * (raw.white + 1)
    red, blue = delivered.metadata.get("ColourGains", (1.0, 1.0))
    return Mosaic(values, raw.order, black, raw.white, red, blue)
