"""Exposure controls of a sensor: time and gain take effect each with its own delay; clipped to limits and steps."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from livemef.capture.cameras.base import CameraLimits
from livemef.capture.frame import Exposure

_REMEMBERED = 256
"""Requests kept: frames are simulated in order, and a delay is ten frames at most."""


class DelayedControls:
    """A request made after frame N is in force from frame N + delay + 1 on. Call it with frames in rising order.

    Exposures are as the sensor does them: within its limits, in whole steps, no longer than `clip_us`.
    """

    def __init__(
        self, initial: Exposure, limits: CameraLimits, delay: int, gain_delay: int, clip_us: float | None = None
    ) -> None:
        self._limits = limits
        self._clip_us = clip_us
        self._delay = delay
        self._gain_delay = gain_delay
        initial = self.possible(initial)
        self._times: deque[tuple[int, float]] = deque([(0, initial.exposure_us)], maxlen=_REMEMBERED)
        self._gains: deque[tuple[int, float]] = deque([(0, initial.gain)], maxlen=_REMEMBERED)

    def request(self, exposure: Exposure, after_frame: int) -> None:
        """Request an exposure while `after_frame` is the last complete frame (-1 = none yet)."""
        possible = self.possible(exposure)
        self._times.append((after_frame + self._delay + 1, possible.exposure_us))
        self._gains.append((after_frame + self._gain_delay + 1, possible.gain))

    def in_force(self, frame: int) -> Exposure:
        """The exposure of frame `frame`."""
        return Exposure(_newest(self._times, frame), _newest(self._gains, frame))

    def possible(self, exposure: Exposure) -> Exposure:
        """The nearest exposure that the sensor can do."""
        limits = self._limits
        time_us = min(max(exposure.exposure_us, limits.exposure_min_us), limits.exposure_max_us)
        if self._clip_us is not None:
            time_us = min(time_us, self._clip_us)
        if limits.exposure_step_us > 0:
            time_us = max(1, round(time_us / limits.exposure_step_us)) * limits.exposure_step_us
        gain = min(max(exposure.gain, limits.gain_min), limits.gain_max)
        return replace(exposure, exposure_us=time_us, gain=gain)


def _newest(entries: deque[tuple[int, float]], frame: int) -> float:
    for from_frame, value in reversed(entries):
        if from_frame <= frame:
            return value
    return entries[0][1]
