"""Measurement of the control delay, in frames: held steps of exposure time and gain, observed by brightness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from livemef.calibration.drawing import BLUE, ORANGE, RED, Axes, Picture
from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import DelaySection, now
from livemef.calibration.source import FRAME_LIMIT_S, CameraShots
from livemef.capture.bracketing.delay_probe import Probe
from livemef.capture.bracketing.labelling_brightness import brightness_level
from livemef.capture.bracketing.plan import MIN_RATIO, fit_plan, quantise
from livemef.capture.bracketing.request_history import Leads, RequestHistory, varies
from livemef.capture.cameras.base import Camera, CameraInfo
from livemef.capture.frame import Exposure, Frame, brightness

AGREEING = 3
"""Number of measurements that must agree. A lost or late request makes one wrong, rarely two in the same way."""
MOST_TRIALS = 12

_STEPS = ((4.0, 1.0), (8.0, 4.0), (16.0, 2.0), (4.0, 0.5))
"""Ratio of the exposure times, and the brightest step's light over a well exposed picture's; used in turn."""


@dataclass
class Trial:
    """One measurement: (sequence, brightness level) of frames, requests by the frame before them, the fitted leads."""

    levels: list[tuple[int, float]] = field(default_factory=list)
    requests: list[tuple[int, Exposure]] = field(default_factory=list)
    leads: Leads | None = None


def measure_delay(camera: Camera) -> tuple[DelaySection, Trial]:
    """Measure the delays of an open camera before a static scene that is not black. Starts the camera.

    Returns the section and one trial with this result. Raises CaptureError if the camera stalls, CalibrationError if
    brightness does not follow requests, or not always after the same number of frames.
    """
    info = camera.info
    if not info.can_request:
        raise CalibrationError(f"{info.uri}: its exposures cannot be set, so there is no delay to measure")
    well_exposed_us = CameraShots(camera).meter().exposure_us
    trials: list[Trial] = []
    for number in range(MOST_TRIALS):
        ratio, light = _STEPS[number % len(_STEPS)]
        trials.append(_trial(camera, _probe_plan(info, well_exposed_us * light, ratio)))
        found = Counter(trial.leads for trial in trials if trial.leads is not None)
        if found and found.most_common(1)[0][1] >= AGREEING:
            return _section(trials, found, info)
    answers = ", ".join(f"{leads.exposure - 1}/{leads.gain - 1}" for leads in found) or "none"
    raise CalibrationError(
        f"{info.uri}: {MOST_TRIALS} measurements do not agree on a delay (exposure/gain: {answers}): "
        "point it at something still, neither black nor white, and make sure that automatic exposure is off"
    )


def _section(trials: list[Trial], found: Counter[Leads], info: CameraInfo) -> tuple[DelaySection, Trial]:
    leads, agreeing = found.most_common(1)[0]
    best = max((trial for trial in trials if trial.leads == leads), key=_separation)
    time_varies, gain_varies = varies([exposure for _, exposure in best.requests])
    section = DelaySection(
        date=now(),
        exposure_delay=leads.exposure - 1 if time_varies else None,
        gain_delay=leads.gain - 1 if gain_varies else None,
        trials=sum(found.values()),
        agreeing=agreeing,
        separation=round(min(_separation(best), 1e6), 2),
    )
    return section, best


def _probe_plan(info: CameraInfo, brightest_us: float, ratio: float) -> Sequence[Exposure]:
    """Two exposures, `ratio` apart in time and up to 4 in gain where the camera has gain; the second is brighter."""
    limits, period_us = info.limits, 1e6 / info.fps
    gain = min(limits.gain_max, limits.gain_min * min(ratio, 4.0))
    gain = gain if gain >= MIN_RATIO * limits.gain_min else limits.gain_min
    shortest_us = max(limits.exposure_min_us, limits.exposure_step_us)
    bright_us = min(max(brightest_us * limits.gain_min / gain, ratio * shortest_us), period_us)
    dark = quantise(Exposure(bright_us / ratio, limits.gain_min), limits)
    bright = quantise(Exposure(bright_us, gain), limits)
    return fit_plan([dark, bright], limits, period_us, reports_exposure=True)


def _trial(camera: Camera, plan: Sequence[Exposure]) -> Trial:
    trial, history = Trial(), RequestHistory()
    probe: Probe | None = None
    while True:
        frame = camera.read(FRAME_LIMIT_S)
        sequence = frame.record.sequence
        probe = probe or Probe(plan, sequence)
        level = _level(frame)
        if not trial.levels or trial.levels[-1][0] != sequence:
            trial.levels.append((sequence, level))
            probe.observe(sequence, level)
        if probe.over(sequence):
            trial.leads = probe.leads(history)
            return trial
        requested = probe.request(sequence)
        if requested is not None:
            history.add(sequence, requested)
            if not trial.requests or trial.requests[-1][1] != requested:
                trial.requests.append((sequence, requested))
            camera.request(requested)


def _level(frame: Frame) -> float:
    return brightness_level(brightness(frame.pixels))


def _separation(trial: Trial) -> float:
    """The smallest step of brightness over the largest spread within a step."""
    assert trial.leads is not None
    groups: dict[Exposure, list[float]] = {}
    lead = max(trial.leads.exposure, trial.leads.gain)
    ends = [after for after, _ in trial.requests[1:]] + [trial.levels[-1][0]]
    for (start, exposure), end in zip(trial.requests, ends, strict=True):
        groups.setdefault(exposure, []).extend(level for n, level in trial.levels if start + lead <= n <= end)
    means = sorted(float(np.mean(levels)) for levels in groups.values() if levels)
    spread = max(max(levels) - min(levels) for levels in groups.values() if levels)
    return float(np.diff(means).min() / max(spread, 1e-6)) if len(means) > 1 else 0.0


def draw(section: DelaySection, trial: Trial) -> Picture:
    """Brightness over frames, with requests and the frames from which they are in force."""
    frames, levels = np.array([n for n, _ in trial.levels]), np.array([level for _, level in trial.levels])
    margin = 0.1 * (levels.max() - levels.min()) + 1e-3
    axes = Axes(
        f"control delay: exposure {section.exposure_delay}, gain {section.gain_delay} frames",
        "frame",
        "brightness, log2 of the odds",
        (float(frames[0]), float(frames[-1])),
        (float(levels.min() - margin), float(levels.max() + margin)),
    )
    axes.line(frames, levels, BLUE)
    axes.points(frames, levels, BLUE)
    assert trial.leads is not None
    previous: Exposure | None = None
    for after, exposure in trial.requests:
        axes.vertical(after, ORANGE, "requested")
        if previous is not None:
            of_time = previous.exposure_us != exposure.exposure_us
            axes.vertical(after + (trial.leads.exposure if of_time else trial.leads.gain), RED, "in force")
        previous = exposure
    return axes.picture
