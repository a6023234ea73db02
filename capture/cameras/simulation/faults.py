"""Random faults of frames and requests, from the seed and the frame's number: the same on every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livemef.capture.cameras.simulation.settings import SimulatedSettings

_FRAMES, _REQUESTS = 1, 2


@dataclass(frozen=True)
class FrameFaults:
    """The faults of one frame. jitter_ns: added to its timestamp."""

    dropped: bool
    duplicated: bool
    stalls: bool
    jitter_ns: int


def frame_faults(settings: SimulatedSettings, frame: int) -> FrameFaults:
    """The faults of a frame. The first frame is always delivered, once."""
    if not (settings.drop or settings.duplicate or settings.stall or settings.jitter):
        return FrameFaults(False, False, False, 0)
    random = np.random.default_rng((settings.seed, _FRAMES, frame))
    drop, duplicate, stall = random.random(3)
    jitter_ns = round(random.standard_normal() * settings.jitter * 1e3)
    # bounded, so that timestamps keep rising as every driver's do
    bound_ns = round(settings.period_us * 1e3 * 0.45)
    return FrameFaults(
        dropped=bool(frame and drop < settings.drop),
        duplicated=bool(frame and duplicate < settings.duplicate),
        stalls=bool(frame and stall < settings.stall),
        jitter_ns=min(max(jitter_ns, -bound_ns), bound_ns),
    )


def request_ignored(settings: SimulatedSettings, request: int) -> bool:
    """Whether the request with this running number is lost."""
    if not settings.ignore:
        return False
    return bool(np.random.default_rng((settings.seed, _REQUESTS, request)).random() < settings.ignore)
