"""The exposures of a running pipeline, frame by frame: an ordinary subscription to its `exposure/N` topics."""

from __future__ import annotations

import time

from livemef.capture.errors import CameraStalled
from livemef.capture.frame import Exposure, Frame, FrameRecord
from livemef.fusion.stream.header import SourceExposure
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from livemef.fusion.stream.wire import Message

PREFIX = "exposure/"


class ExposureFrames:
    """Frames as they come, until `close`. While it is open, the pipeline sends every new exposure."""

    def __init__(self, endpoint: str) -> None:
        """endpoint: `sub+connect:...` of a publisher that sends raw pixels."""
        self._subscriber = Subscriber(endpoint, (PREFIX,))

    def next_frame(self, timeout_s: float) -> Frame:
        """The next frame; its pixels are read-only. Raises CameraStalled after `timeout_s`."""
        try:
            return frame_of(self._subscriber.receive(timeout_s))
        except ReceiveTimeout:
            raise CameraStalled(f"no frame from the camera within {timeout_s:g} s") from None

    def close(self) -> None:
        """End the subscription."""
        self._subscriber.close()

    def __enter__(self) -> ExposureFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def frame_of(message: Message) -> Frame:
    """The frame in a message of topic `exposure/N`, with what its header says of it."""
    header, source = message.header, message.header.sources[0]
    record = FrameRecord(
        sequence=source.seq,
        timestamp_ns=source.timestamp_ns,
        clock=source.clock,
        received_ns=time.monotonic_ns(),
        measured=_exposure(source.measured),
        requested=_exposure(source.requested),
        index=int(message.topic.removeprefix(PREFIX)),
        label_source=source.label_source,
        epoch=header.epoch,
    )
    return Frame(record, message.pixels)


def _exposure(source: SourceExposure | None) -> Exposure | None:
    return None if source is None else Exposure(source.exposure_us, source.gain)
