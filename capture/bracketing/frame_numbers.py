"""Frame numbers that count frames, whatever the driver counts. Pure.

Some drivers leave the number at 0, some count fields and so advance by two, some count in 8 or 16 bits, some give a
time or nothing sensible. The controller has to know how many frames lie between a request and its effect, so such
numbers are replaced by our own count, by steps where these are sound and by time stamps else; sound ones stay.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

from livemef.capture.frame import FrameRecord

RUN = 4
"""So many steps of one size, each in the time of one frame, are a driver that counts otherwise and no lost frames."""

LONG_RUN = 40
"""The same where the frame period is not known: only the steps speak."""

MANY_AHEAD = 8
"""So many steps of the last LONG_RUN that are larger than the time allows are no count of frames: time decides then."""

FEW_FALLS = 2
"""Falls within LONG_RUN numbers that a driver which starts afresh makes; more are no count of frames either."""

COUNTER_BITS = (8, 10, 12, 16, 24, 32)
"""Widths at which drivers' counters start again at 0."""


class FrameNumbers:
    """Corrects the numbers of one camera's frames, in order of arrival. frame_period_us: math.inf = unknown."""

    def __init__(self, frame_period_us: float) -> None:
        self._period_ns = 1e3 * frame_period_us
        self._last: FrameRecord | None = None
        self._count = 0
        self._stride = 1
        self._steps: deque[tuple[int, float]] = deque(maxlen=LONG_RUN)
        self._falls: deque[bool] = deque(maxlen=LONG_RUN)
        self._by_time = False

    def corrected(self, record: FrameRecord) -> FrameRecord | None:
        """The record under its place in the count of frames; None for a frame that came twice: its number does not
        advance, and its time stamp is not newer.
        """
        last = self._last
        if last is None:
            self._last, self._count = record, record.sequence
            return record
        step, passed_ns = record.sequence - last.sequence, record.timestamp_ns - last.timestamp_ns
        if step <= 0 and passed_ns <= 0:
            return None
        self._last = record
        own = self._count != last.sequence  # we no longer have the driver's numbers
        if step < 0:
            step = self._over_the_top(last.sequence, record.sequence, passed_ns)
        self._judge(step, passed_ns)
        if self._by_time:
            self._count += self._frames_in(passed_ns)
        elif step < 0 and not own:
            self._count, self._stride = record.sequence, 1
            self._steps.clear()
        elif step <= 0:
            self._count += self._frames_in(passed_ns)
        else:
            self._learn_stride(step, passed_ns)
            self._count += step // self._stride
        return record if self._count == record.sequence else replace(record, sequence=self._count)

    def _over_the_top(self, last: int, number: int, passed_ns: float) -> int:
        """The step from a number to a lower one, of a counter that was full; negative where it was not."""
        frames = None if math.isinf(self._period_ns) else self._frames_in(passed_ns)
        for bits in COUNTER_BITS:
            step = (number - last) % (1 << bits)
            if last < 1 << bits and step <= LONG_RUN and (frames is None or abs(step - frames * self._stride) <= 1):
                return step
        return number - last

    def _judge(self, step: int, passed_ns: float) -> None:
        """Notice numbers that are no count of frames: they run ahead of time, or fall, again and again."""
        if math.isinf(self._period_ns):
            return
        self._falls.append(step < 0)
        usual = max(1, self._stride)  # nearly all are no larger, and need not be held against time
        ahead = sum(size > usual and size > usual * max(1, round(frames)) for size, frames in self._steps)
        self._by_time = self._by_time or ahead >= MANY_AHEAD or sum(self._falls) > FEW_FALLS

    def _frames_in(self, passed_ns: float) -> int:
        return 1 if math.isinf(self._period_ns) else max(1, round(passed_ns / self._period_ns))

    def _learn_stride(self, step: int, passed_ns: float) -> None:
        self._steps.append((step, passed_ns / self._period_ns))
        if step % self._stride:
            self._stride = 1
        if self._stride == 1 and step > 1:
            known = not math.isinf(self._period_ns)
            latest = list(self._steps)[-(RUN if known else LONG_RUN) :]
            alike = len(latest) == (RUN if known else LONG_RUN) and all(size == step for size, _ in latest)
            if alike and (not known or all(frames < 1.5 for _, frames in latest)):
                self._stride = step
