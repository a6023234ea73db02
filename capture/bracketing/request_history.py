"""Exposure requests and when they take effect: predicts each frame's exposure, and fits the delay to observations."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from livemef.capture.frame import Exposure

MAX_LEAD = 10
"""Longest lead that is considered, in frames: sensor delays reach 6, and drivers add buffers of their own."""
_MEMORY = 8 * MAX_LEAD


@dataclass(frozen=True, slots=True)
class Leads:
    """Frames from the frame after which a request was made to the first frame that has it.

    One more than the camera's delay: when a frame has arrived, the sensor is already exposing the next one.
    """

    exposure: int
    gain: int


class RequestHistory:
    """The requests made so far, by the sequence number of the frame after which each was made."""

    def __init__(self) -> None:
        self._requests: deque[tuple[int, Exposure]] = deque(maxlen=_MEMORY)

    def add(self, sequence: int, exposure: Exposure) -> None:
        """Record that `exposure` was requested after the frame `sequence`. Call it in rising order of `sequence`."""
        self._requests.append((sequence, exposure))

    def clear(self) -> None:
        """Delete all requests: the camera's sequence numbers started again."""
        self._requests.clear()

    def in_force(self, sequence: int, leads: Leads) -> Exposure | None:
        """What the frame `sequence` should have been exposed with; None = from before the first request.

        Exposure time and gain take effect separately, so this may be a mixture of two requests.
        """
        of_time = self._newest(sequence - leads.exposure)
        of_gain = self._newest(sequence - leads.gain)
        if of_time is None or of_gain is None:
            return None
        return Exposure(of_time.exposure_us, of_gain.gain)

    def _newest(self, sequence: int) -> Exposure | None:
        for made_after, exposure in reversed(self._requests):
            if made_after <= sequence:
                return exposure
        return None


def varies(plan: Sequence[Exposure]) -> tuple[bool, bool]:
    """Whether the plan alternates the exposure time, and whether it alternates the gain."""
    return len({e.exposure_us for e in plan}) > 1, len({e.gain for e in plan}) > 1


def candidate_leads(plan: Sequence[Exposure]) -> list[Leads]:
    """All possible leads. What the plan keeps constant gets the longest: after that it is in force in any case."""
    time_varies, gain_varies = varies(plan)
    any_lead = range(1, MAX_LEAD + 1)
    of_time = any_lead if time_varies else [MAX_LEAD]
    of_gain = any_lead if gain_varies else [MAX_LEAD]
    return [Leads(*pair) for pair in itertools.product(of_time, of_gain)]


def fitting_leads(
    history: RequestHistory,
    observations: Iterable[tuple[int, float]],
    candidates: Iterable[Leads],
    explains: Callable[[dict[Exposure, list[float]]], bool],
) -> list[Leads]:
    """The candidates that are consistent with the observations.

    observations: (sequence, level), level any quantity that rises with the light. explains: whether levels,
    grouped by the exposure that a candidate predicts for their frames, agree with these exposures.
    """
    seen = list(observations)
    fitting = []
    for leads in candidates:
        groups: dict[Exposure, list[float]] = {}
        for sequence, level in seen:
            exposure = history.in_force(sequence, leads)
            if exposure is not None:
                groups.setdefault(exposure, []).append(level)
        if explains(groups):
            fitting.append(leads)
    return fitting
