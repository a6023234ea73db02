"""Which two exposures hold the scene? From the brightness of recent frames. Pure: no device, clock or thread.

The short exposure is to clip hardly anything, the long one to leave hardly anything in the noise. What a frame shows,
divided by its light, is the scene's own brightness, so one look at both ends of the scene is enough to know the
exposures; only where every frame clips, or is too dark, does it take a step into the unknown first.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from livemef.capture.bracketing.plan import quantise
from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.frame import Exposure, Pixels
from livemef.capture.srgb import decode

MOST_CLIPPED, MOST_DROWNED = 0.005, 0.01
"""Parts of the picture that may clip in the short exposure, and lie below the noise floor in the long one."""
CLIPS = 0.95
"""Linear value of the largest channel from which a pixel counts as clipped."""
NOISE_FLOOR = 0.001
"""Linear luminance, 1 = white: about code 3 of 8 bits, and twice the noise of a usual sensor at gain 1."""
HIGH_AIM, LOW_AIM = 0.7, 1.5 * NOISE_FLOOR
"""Where the brightest part that counts lies in the short exposure, and the darkest in the long one."""
LEAST_RATIO, MOST_RATIO = 4.0, 512.0
"""Of the long exposure's light to the short one's. Beyond the latter neither would show the middle well."""
DARKER_STEP, BRIGHTER_STEP = 128.0, 32.0
"""Into the unknown: still measurable if the scene is that much brighter, or darker, than what was seen."""
SLACK = 1.6
"""Light may differ so much from the best before it is worth a new plan."""
PATIENCE = 6
"""Frames in a row that must ask for a new plan once one has proved right."""
LONGEST_WAIT = 24
"""Frames after which a new plan is judged by what has come, for cameras that do not deliver what was asked."""
_PIXELS = 8192
"""Of a frame, about so many are looked at."""


@dataclass(frozen=True)
class Look:
    """What a frame says of the scene. light: of its exposure (us x gain); linear values 0..1.

    clipped, drowned: parts of the picture. high: the largest channel of the pixel that may just clip; low: the
    luminance of the pixel that may just drown.
    """

    light: float
    clipped: float
    drowned: float
    high: float
    low: float


def look_at(pixels: Pixels, exposure: Exposure) -> Look:
    """Measure a frame (BGR, uint8 or uint16, sRGB-encoded) by some thousand of its pixels."""
    every = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] // _PIXELS))
    seen = pixels[every // 2 :: every, every // 2 :: every].reshape(-1, 3)
    linear = decode(seen.astype(np.float64) / np.iinfo(pixels.dtype).max)
    largest, luminance = linear.max(axis=1), linear @ (0.0722, 0.7152, 0.2126)
    return Look(
        light=exposure.light,
        clipped=float((largest >= CLIPS).mean()),
        drowned=float((luminance < NOISE_FLOOR).mean()),
        high=float(np.quantile(largest, 1 - MOST_CLIPPED / 2)),
        low=float(np.quantile(luminance, MOST_DROWNED / 2)),
    )


class AutoBracketing:
    """Watches frames and says when other exposures would be better.

    limits: the camera's. frame_period_us: no exposure is longer; math.inf = unknown. flicker_us: period of the light's
    flicker (10000 under 50 Hz mains, 8333.3 under 60 Hz; 0 = none): longer exposures are whole multiples of it.
    """

    def __init__(self, limits: CameraLimits, frame_period_us: float = math.inf, flicker_us: float = 0.0) -> None:
        self._limits = limits
        self._longest_us = min(limits.exposure_max_us, frame_period_us)
        self._flicker_us = flicker_us
        self._looks: deque[Look] = deque(maxlen=4)
        self._awaited: list[float] = []  # lights of a new plan that have not been seen yet
        self._waited = self._patience = self._asking = 0

    @classmethod
    def for_camera(cls, info: CameraInfo, mains_hz: int) -> AutoBracketing:
        """For an open camera under lamps on mains of 50 or 60 Hz (0: no lamps), which flicker at twice that."""
        period_us = 1e6 / info.fps if info.fps > 0 else math.inf
        return cls(info.limits, period_us, 1e6 / (2 * mains_hz) if mains_hz else 0.0)

    @property
    def settled(self) -> bool:
        """Whether the exposures have been seen to be right."""
        return self._patience > 0

    def observe(self, look: Look, plan: tuple[Exposure, ...]) -> tuple[Exposure, Exposure] | None:
        """Take note of a frame; returns a better plan than `plan`, dark to bright, if there is one.

        The first frame already counts. A new plan is judged when both its exposures have been seen, or should have
        been.
        """
        self._looks.append(look)
        self._awaited = [light for light in self._awaited if not _alike(light, look.light)]
        self._waited += 1
        if self._awaited and self._waited < LONGEST_WAIT:
            return None
        wanted = self._wanted()
        if self._good_enough(plan, wanted):
            self._patience, self._asking = PATIENCE, 0
            return None
        self._asking += 1
        if self._asking <= self._patience:
            return None
        self._awaited = [exposure.light for exposure in wanted]
        self._waited = self._patience = self._asking = 0
        return wanted

    def _wanted(self) -> tuple[Exposure, Exposure]:
        darkest = min(self._looks, key=lambda look: look.light)
        brightest = max(self._looks, key=lambda look: look.light)
        unclipped = [look for look in self._looks if look.high < CLIPS]
        if unclipped:
            best = max(unclipped, key=lambda look: look.light)
            short = HIGH_AIM * best.light / max(best.high, NOISE_FLOOR)
        else:
            short = darkest.light / DARKER_STEP
        telling = [look for look in self._looks if NOISE_FLOOR <= look.low < CLIPS]
        if telling:
            best = max(telling, key=lambda look: look.light)
            long = LOW_AIM * best.light / best.low
        elif brightest.low < NOISE_FLOOR:
            long = brightest.light * BRIGHTER_STEP
        else:
            long = darkest.light  # all clips: the next look will tell
        return self._possible(short, long)

    def _possible(self, short: float, long: float) -> tuple[Exposure, Exposure]:
        """The nearest that the camera can do. Clipping is worse than noise: the short exposure is settled first."""
        low, high = self._limits.exposure_min_us, self._longest_us
        short = min(max(short, low), high / LEAST_RATIO)
        long = min(max(long, LEAST_RATIO * short), MOST_RATIO * short, high)
        return self._exposure(short), self._exposure(self._free_of_flicker(long))

    def _free_of_flicker(self, time_us: float) -> float:
        """Half a flicker and more become whole ones, as far as the frame period has room."""
        if not self._flicker_us or self._longest_us < self._flicker_us or time_us < self._flicker_us / 2:
            return time_us
        periods = min(math.ceil(time_us / self._flicker_us - 0.01), math.floor(self._longest_us / self._flicker_us))
        return periods * self._flicker_us

    def _exposure(self, time_us: float) -> Exposure:
        return quantise(Exposure(time_us, self._limits.gain_min), self._limits)

    def _seen(self, exposure: Exposure) -> Look | None:
        return next((look for look in reversed(self._looks) if _alike(look.light, exposure.light)), None)

    def _good_enough(self, plan: tuple[Exposure, ...], wanted: tuple[Exposure, Exposure]) -> bool:
        """As good as wanted, or nearly; nearly is not enough where too much clips or drowns."""
        short, long = self._seen(plan[0]), self._seen(plan[-1])
        if short is not None and short.clipped > MOST_CLIPPED and wanted[0].light < plan[0].light:
            return False
        if long is not None and long.drowned > MOST_DROWNED and wanted[1].light > plan[-1].light:
            return False
        if not math.isclose(self._free_of_flicker(plan[-1].exposure_us), plan[-1].exposure_us, rel_tol=0.01):
            return False
        pairs = ((plan[0], wanted[0]), (plan[-1], wanted[1]))
        return all(1 / SLACK <= have.light / want.light <= SLACK for have, want in pairs)


def _alike(light: float, other: float) -> bool:
    return abs(light - other) <= 0.05 * other
