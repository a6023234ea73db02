"""Measurement of the control delay: a sequence of held exposures, in steps."""

from __future__ import annotations

from collections.abc import Sequence

from livemef.capture.bracketing.labelling_brightness import follows_light
from livemef.capture.bracketing.plan import MIN_RATIO
from livemef.capture.bracketing.request_history import MAX_LEAD, Leads, RequestHistory, candidate_leads, fitting_leads
from livemef.capture.frame import Exposure

HOLD = MAX_LEAD + 3
"""Frames for which each step is held: even at the longest lead it is visible in three frames."""


class Probe:
    """One measurement: the shortest time and lowest gain, then the longest time, then the highest gain, each held.

    Call `observe` with every frame's level and `request` after every frame, until `over` is true; then `leads`.
    """

    def __init__(self, plan: Sequence[Exposure], first_sequence: int) -> None:
        self._steps = _steps(plan)
        self._plan = plan
        self._start = first_sequence
        self._taken = 0
        self._observations: list[tuple[int, float]] = []

    def over(self, sequence: int) -> bool:
        """Whether the last step has been held long enough when the frame `sequence` arrives."""
        return sequence >= self._start + HOLD * len(self._steps)

    def observe(self, sequence: int, level: float) -> None:
        """Add a frame's level: brightness or reported light, on a scale that rises with the light."""
        if sequence >= self._start + MAX_LEAD:
            self._observations.append((sequence, level))

    def request(self, sequence: int) -> Exposure | None:
        """The request to make after the frame `sequence`, None for none.

        The first step is requested after every frame, a later one once, so that its effect has one cause.
        """
        due = min((sequence - self._start) // HOLD, len(self._steps) - 1)
        if due > 0 and due < self._taken:
            return None
        self._taken = due + 1
        return self._steps[due]

    def leads(self, history: RequestHistory) -> Leads | None:
        """The only leads consistent with the observations; None if none are, or more than one pair."""
        fitting = fitting_leads(history, self._observations, candidate_leads(self._steps), self._explained)
        return fitting[0] if len(fitting) == 1 else None

    def _explained(self, groups: dict[Exposure, list[float]]) -> bool:
        return set(groups) == set(self._steps) and follows_light(groups)


def _steps(plan: Sequence[Exposure]) -> tuple[Exposure, ...]:
    """Exposures of rising light that change time or gain, never both; differences too small to measure are left out.

    Where both vary, the same steps follow downwards: a scene that brightens at the right moment looks like one step,
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
