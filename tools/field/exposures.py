"""The exposures of a running pipeline, frame by frame: an ordinary subscription to its `exposure/N` topics, or to
`mosaic/N` for raw frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from livemef.capture.errors import CameraStalled
from livemef.capture.frame import Exposure, Frame, FrameRecord, RawFrame
from livemef.fusion.stream.header import SourceExposure
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from livemef.fusion.stream.wire import MOSAIC, Message

PREFIX = "exposure/"
T = TypeVar("T")


class FrameStream(Generic[T]):
    """Frames as they come, until `close`. While it is open, the pipeline sends every new one."""

    def __init__(self, endpoint: str, prefix: str, frame_in: Callable[[Message], T]) -> None:
        """endpoint: `sub+connect:...` of the pipeline's publisher. prefix: of the topics."""
        # a socket's queue is longer than shared memory: a take must not lose a frame while it writes another
        self._subscriber = Subscriber(endpoint, (prefix,), shared_memory=False)
        self._frame_in = frame_in

    def next_frame(self, timeout_s: float) -> T:
        """The next frame; its pixels are read-only. Raises CameraStalled after `timeout_s`."""
        try:
            return self._frame_in(self._subscriber.receive(timeout_s))
        except ReceiveTimeout:
            raise CameraStalled(f"no frame from the camera within {timeout_s:g} s") from None

    def close(self) -> None:
        """End the subscription."""
        self._subscriber.close()

    def __enter__(self) -> FrameStream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ExposureFrames(FrameStream[Frame]):
    """The pictures of a publisher that sends raw pixels."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, PREFIX, frame_of)


class RawFrames(FrameStream[RawFrame]):
    """The raw frames of a pipeline that was asked for them, and whose camera has them."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, MOSAIC, raw_frame_of)


def frame_of(message: Message) -> Frame:
    """The frame in a message of topic `exposure/N`, with what its header says of it."""
    return Frame(_record(message), message.pixels)


def raw_frame_of(message: Message) -> RawFrame:
    """The same of a message of topic `mosaic/N`."""
    assert message.mosaic is not None  # of a message of this topic, which has been decoded
    return RawFrame(_record(message), message.mosaic)


def _record(message: Message) -> FrameRecord:
    header, source = message.header, message.header.sources[0]
    return FrameRecord(
        sequence=source.seq,
        timestamp_ns=source.timestamp_ns,
        clock=source.clock,
        received_ns=time.monotonic_ns(),
        measured=_exposure(source.measured),
        requested=_exposure(source.requested),
        index=int(message.topic.rpartition("/")[2]),
        label_source=source.label_source,
        epoch=header.epoch,
    )


def _exposure(source: SourceExposure | None) -> Exposure | None:
    return None if source is None else Exposure(source.exposure_us, source.gain)
