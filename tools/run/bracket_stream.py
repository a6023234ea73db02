"""The brackets that a running pipeline fuses, put together again from its published exposures."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import zmq

from livemef.capture.frame import Bracket, CapturedBracket, Frame
from livemef.fusion.stream.endpoint import parse_endpoint
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.subscriber import open_sub
from livemef.fusion.stream.wire import STATUS, WireError, decode, peek
from livemef.tools.field.exposures import PREFIX, frame_of

KEPT = 16
"""Frames that may wait for the header of their bracket."""
HIGH_WATER = 12
"""Messages that may wait: some four brackets."""


class Assembler:
    """Each new exposure is published once, then the header of the picture that was fused with it. Pure.

    missed: brackets of which a frame did not come.
    """

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[str, int], Frame] = OrderedDict()
        self.missed = 0

    def take(self, stream: str, frame: Frame) -> None:
        """An exposure of that stream."""
        self._frames[stream, frame.record.sequence] = frame
        while len(self._frames) > KEPT:
            self._frames.popitem(last=False)

    def bracket(self, header: Header) -> CapturedBracket | None:
        """The bracket of a fused picture's header; None if a frame of it is missing."""
        found = [self._frames.get((header.stream, source.seq)) for source in header.sources]
        frames = [frame for frame in found if frame is not None]
        if len(frames) < max(2, len(found)):
            self.missed += 1
            return None
        size = len(frames)
        frames = [
            replace(frame, record=replace(frame.record, index=index, bracket_size=size, epoch=header.epoch))
            for index, frame in enumerate(frames)
        ]
        return CapturedBracket(Bracket(tuple(frame.record for frame in frames), header.verdict), tuple(frames))


class BracketStream:
    """source: `sub+connect:...` of a publisher with raw pixels. Use it as a context manager. Raises FusionError."""

    def __init__(self, source: str) -> None:
        self._context = zmq.Context()
        self._assembler = Assembler()
        try:
            self._socket, self._attachment = open_sub(
                self._context, parse_endpoint(source, "sub"), (PREFIX, STATUS), HIGH_WATER
            )
        except BaseException:
            self._context.destroy(linger=0)
            raise

    @property
    def missed(self) -> int:
        """Brackets that could not be put together: this process was too slow, or began in the middle of one."""
        return self._assembler.missed

    def next(self, timeout_s: float) -> CapturedBracket | None:
        """What comes next: a bracket, or None if it was none, or nothing came within `timeout_s`."""
        if not self._socket.poll(int(1000 * timeout_s)):
            return None
        parts = [part.buffer for part in self._socket.recv_multipart(copy=False)]
        try:
            topic, header = peek(parts)
            if topic == STATUS:
                return self._assembler.bracket(header)
            self._assembler.take(header.stream, frame_of(decode(parts)))
        except WireError:
            self._assembler.missed += 1
        return None

    def __enter__(self) -> BracketStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)
        self._attachment.close()
