"""The hold-and-step sequence that shows after how many frames a request takes effect."""

from __future__ import annotations

from collections.abc import Sequence

from livemef.capture.bracketing.labelling_brightness import follows_light
from livemef.capture.bracketing.plan import MIN_RATIO
from livemef.capture.bracketing.request_history import MAX_LEAD, Leads, RequestHistory, candidate_leads, fitting_leads
from livemef.capture.frame import Exposure

HOLD = MAX_LEAD + 3
"""Frames for which each step is held: even at the longest lead three frames show it."""


class Probe:
    """One measurement: the darkest time and gain, then the brightest time, then the brightest gain, each
    held.

    Call `request` after every frame, `observe` with every frame's level, and `leads` once `request` has said
    it is over.
    """

    def __init__(self, plan: Sequence[Exposure], first_sequence: int) -> None:
        self._steps = _steps(plan)
        self._plan = plan
        self._start = first_sequence
        self._taken = 0
        self._observations: list[tuple[int, float]] = []

    def over(self, sequence: int) -> bool:
        """Has the last step been held for long enough when the frame `sequence` arrives?"""
        return sequence >= self._start + HOLD * len(self._steps)

    def observe(self, sequence: int, level: float) -> None:
        """Note a frame's level: brightness or reported light, on a scale that rises with the light."""
        if sequence >= self._start + MAX_LEAD:
            self._observations.append((sequence, level))

    def request(self, sequence: int) -> Exposure | None:
        """What to ask for after the frame `sequence`: the first step every frame, a later one once, so
        that its effect has one cause."""
        due = min((sequence - self._start) // HOLD, len(self._steps) - 1)
        if due > 0 and due < self._taken:
            return None
        self._taken = due + 1
        return self._steps[due]

    def leads(self, history: RequestHistory) -> Leads | None:
        """The only leads that explain what was seen; None if nothing followed, or lost frames left it open."""
        fitting = fitting_leads(history, self._observations, candidate_leads(self._steps), self._explained)
        return fitting[0] if len(fitting) == 1 else None

    def _explained(self, groups: dict[Exposure, list[float]]) -> bool:
        return set(groups) == set(self._steps) and follows_light(groups)


def _steps(plan: Sequence[Exposure]) -> tuple[Exposure, ...]:
    """Rising light, one of time and gain at a time; what the plan varies too little to see is left alone.

    Where both vary the way back follows: a scene that brightened by itself at the right moment would pass for one step,
    and a wrong delay between time and gain would go unnoticed later. Where one varies, the running bracket shows it.
    """
    times = sorted(exposure.exposure_us for exposure in plan)
    gains = sorted(exposure.gain for exposure in plan)
    steps = [Exposure(times[0], gains[0])]
    if times[-1] >= MIN_RATIO * times[0]:
        steps.append(Exposure(times[-1], gains[0]))
    if gains[-1] >= MIN_RATIO * gains[0]:
        steps.append(Exposure(steps[-1].exposure_us, gains[-1]))
    return (*steps, steps[1], steps[0]) if len(steps) == 3 else tuple(steps)
