"""Automatic exposure bracketing: the exposures that suit the scene, from recent frames. Pure.

The shortest exposure should clip hardly anything, the longest one should leave hardly anything in the noise. Linear
pixel value over the exposure's light is proportional to scene radiance, so one unclipped and one bright enough frame
are enough to compute both. Only where every frame clips, or is too dark, a large step comes first. Where the two lie
further apart than the sensor shows well with two exposures, more lie between them, evenly spaced in stops.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence

from livemef.capture.bracketing.exposure_statistics import CLIPS, MOST_CLIPPED, MOST_NOISY, FrameStatistics
from livemef.capture.bracketing.plan import quantise
from livemef.capture.cameras.base import CameraInfo, CameraLimits, SensorNoise
from livemef.capture.frame import Exposure

HIGH_AIM, LOW_AIM = 0.7, 1.5
"""Targets: linear value of the brightest relevant pixels in the short exposure; of the darkest in the long one, in
units of the frame's noise floor."""
LEAST_RATIO, MOST_RATIO = 4.0, 512.0
"""Of the longest exposure's light to the shortest one's, and of neighbours: beyond the larger neither would show the
mid-tones well."""
STEP_EV = 4.5
"""Stops between neighbouring exposures that two of them bridge well, of a sensor whose noise nobody measured."""
MIDDLE_SNR = 20.0
"""Least ratio of signal to noise, in the darker of two neighbours, of what just clips in the brighter one."""
LEAST_STEP = 1.5
"""Least ratio of light of neighbouring exposures: a margin above what their labels need."""
DARKER_STEP, BRIGHTER_STEP = 128.0, 32.0
"""Largest factors of light where every frame clips, or is too dark: as large as leaves the next frame measurable."""
SLACK, SETTLED_SLACK = 1.6, 2.0
"""Largest ratios of a plan's light to the best plan's at which it is taken as right, and then left as it is. Apart, so
that noise of the statistics does not change a plan that lies at the edge."""
RESTLESS_CHANGES, RESTLESS_FRAMES = 4, 80
"""So many new plans within so many frames are a camera whose response is not the one assumed: its exposures are
overshot time and again. From then on only half of each step is taken, in stops, which ends it for exponents up to 4."""
PATIENCE = 6
"""Frames in a row that must call for a new plan, once a plan was right."""
FEWER_PATIENCE = 10 * PATIENCE
"""Frames in a row that must do with fewer exposures before one is given up."""
LONGEST_WAIT = 24
"""Frames after which a new plan is judged in any case, for cameras that do not give what was requested."""


def bridged_stops(noise: SensorNoise | None, gain: float) -> float:
    """Stops between neighbouring exposures at which no tone is noisier than MIDDLE_SNR in both; STEP_EV if unknown.

    noise: as measured, at a gain of its own. gain: that of the exposures. At MIDDLE_SNR a pixel has e electrons, with
    e / sqrt(e + read_noise ** 2) = MIDDLE_SNR; the brighter exposure clips at CLIPS of the full well.
    """
    if noise is None:
        return STEP_EV
    square = MIDDLE_SNR**2
    electrons = (square + math.sqrt(square**2 + 4 * square * noise.read_noise_e**2)) / 2
    return max(1.0, math.log2(CLIPS * noise.full_well_e * noise.gain / gain / electrons))


def exposures_needed(gap_ev: float, step_ev: float, most: int) -> int:
    """Number of exposures, 2 to `most`, with at most `step_ev` stops (and a tenth of it) between neighbours."""
    return min(max(1 + math.ceil(gap_ev / step_ev - 0.1), 2), most)


class AutoBracketing:
    """Chooses a plan of two or more exposures from the frames that it is given.

    limits: the camera's. frame_period_us: no exposure is longer; math.inf = unknown. flicker_us: period of the light's
    flicker (10000 under 50 Hz mains, 8333.3 under 60 Hz; 0 = none): longer exposures are whole multiples of it. most:
    largest number of exposures. noise: the sensor's, None = not measured.
    """

    def __init__(
        self,
        limits: CameraLimits,
        frame_period_us: float = math.inf,
        flicker_us: float = 0.0,
        most: int = 2,
        noise: SensorNoise | None = None,
    ) -> None:
        self.most = most
        self._limits = limits
        self._longest_us = min(limits.exposure_max_us, frame_period_us)
        self._flicker_us = flicker_us
        self._step_ev = bridged_stops(noise, limits.gain_min)
        self._recent: list[FrameStatistics] = []  # see _judged
        self._awaited: list[float] = []  # lights of a new plan without a frame yet
        self._waited = self._needed = self._asking = self._too_many = 0
        self._proven = 2  # exposures of the last plan that was right
        self._frames = 0
        self._changes: deque[int] = deque(maxlen=RESTLESS_CHANGES)
        self._restless = False

    @classmethod
    def for_camera(
        cls, info: CameraInfo, mains_hz: int, most: int = 2, noise: SensorNoise | None = None
    ) -> AutoBracketing:
        """For an open camera under lamps on mains of 50 or 60 Hz (0: no lamps), which flicker at twice that."""
        period_us = 1e6 / info.fps if info.fps > 0 else math.inf
        return cls(info.limits, period_us, 1e6 / (2 * mains_hz) if mains_hz else 0.0, most, noise)

    @property
    def settled(self) -> bool:
        """Whether frames have shown that the present plan is right."""
        return self._needed > 0

    def observe(self, seen: FrameStatistics, plan: tuple[Exposure, ...]) -> tuple[Exposure, ...] | None:
        """Add one frame's statistics; returns a better plan than `plan`, dark to bright, None if there is none.

        A new plan is judged after frames of all its exposures, or after LONGEST_WAIT frames. More exposures are taken
        as soon as other exposures would be, fewer only after FEWER_PATIENCE frames.
        """
        self._recent = _judged([*self._recent, seen], plan)
        self._awaited = [light for light in self._awaited if not _alike(light, seen.light)]
        self._waited += 1
        self._frames += 1
        if self._awaited and self._waited < LONGEST_WAIT:
            return None
        wanted = self._as_many(len(plan), self._wanted())
        if self._good_enough(plan, wanted):
            self._needed, self._asking, self._proven = PATIENCE, 0, len(plan)
            return None
        self._asking += 1
        if self._asking <= self._needed:
            return None
        self._changes.append(self._frames)
        many = len(self._changes) == RESTLESS_CHANGES and self._frames - self._changes[0] < RESTLESS_FRAMES
        self._restless = self._restless or many
        self._awaited = [exposure.light for exposure in wanted]
        self._waited = self._needed = self._asking = self._too_many = 0
        return wanted

    def _wanted(self) -> tuple[Exposure, ...]:
        darkest = min(self._recent, key=lambda frame: frame.light)
        brightest = max(self._recent, key=lambda frame: frame.light)
        unclipped = [frame for frame in self._recent if frame.high < CLIPS]
        if unclipped:
            best = max(unclipped, key=lambda frame: frame.light)
            short = best.light * self._careful(HIGH_AIM / max(best.high, best.floor))
        else:
            short = darkest.light / DARKER_STEP
        informative = [frame for frame in self._recent if frame.floor <= frame.low < CLIPS]
        if informative:
            best = max(informative, key=lambda frame: frame.light)
            long = best.light * self._careful(LOW_AIM * best.floor / best.low)
        elif brightest.low < brightest.floor:
            long = brightest.light * min(max(brightest.noisy / MOST_NOISY, LOW_AIM), BRIGHTER_STEP)
        else:
            long = darkest.light  # all clips: the next frames will show more
        return self._possible(short, long)

    def _careful(self, factor: float) -> float:
        """A factor of light as computed; half of it, in stops, once that has turned out to overshoot."""
        return math.sqrt(factor) if self._restless else factor

    def _possible(self, short: float, long: float) -> tuple[Exposure, ...]:
        """The nearest exposures within the camera's limits. Clipping is worse than noise: the short one comes first."""
        low, high = self._limits.exposure_min_us, self._longest_us
        short = min(max(short, low), high / LEAST_RATIO)
        long = min(max(long, LEAST_RATIO * short), MOST_RATIO ** (self.most - 1) * short, high)
        needed = exposures_needed(math.log2(long / short), self._step_ev, self.most)
        spread = (self._spread(short, long, number) for number in range(needed, 2, -1))
        return next((plan for plan in spread if plan), (self._exposure(short), self._longest(long)))

    def _as_many(self, number: int, wanted: tuple[Exposure, ...]) -> tuple[Exposure, ...]:
        """The wanted plan with `number` exposures, unless it needs more, or has needed fewer for long enough (at once
        where so many have not been right yet).

        Fewer are enough only if a gap larger by SLACK would do with them: otherwise noise would change the number.
        """
        if not len(wanted) < number <= self.most:
            self._too_many = 0
            return wanted
        gap_ev = wanted[-1].ev_above(wanted[0]) + math.log2(SLACK)
        enough = exposures_needed(gap_ev, self._step_ev, self.most) < number
        self._too_many = self._too_many + 1 if enough else 0
        if self._too_many >= FEWER_PATIENCE or (enough and number > self._proven):
            return wanted
        return self._spread(wanted[0].exposure_us, wanted[-1].exposure_us, number) or wanted

    def _spread(self, short: float, long: float, number: int) -> tuple[Exposure, ...] | None:
        """So many exposures, evenly spaced in stops; None where flicker and steps leave no room for them."""
        ratio = (long / short) ** (1 / (number - 1))
        between = (self._exposure(self._free_of_flicker(short * ratio**place)) for place in range(1, number - 1))
        plan = (self._exposure(short), *between, self._longest(long))
        apart = all(b.light >= LEAST_STEP * a.light for a, b in itertools.pairwise(plan))
        return plan if apart else None

    def _longest(self, time_us: float) -> Exposure:
        return self._exposure(self._free_of_flicker(time_us))

    def _free_of_flicker(self, time_us: float) -> float:
        """Times of half a flicker period and more, rounded up to whole periods where the frame period allows."""
        if not self._flicker_us or self._longest_us < self._flicker_us or time_us < self._flicker_us / 2:
            return time_us
        periods = min(math.ceil(time_us / self._flicker_us - 0.01), math.floor(self._longest_us / self._flicker_us))
        return periods * self._flicker_us

    def _exposure(self, time_us: float) -> Exposure:
        return quantise(Exposure(time_us, self._limits.gain_min), self._limits)

    def _seen(self, exposure: Exposure) -> FrameStatistics | None:
        return next((frame for frame in reversed(self._recent) if _alike(frame.light, exposure.light)), None)

    def _good_enough(self, plan: Sequence[Exposure], wanted: Sequence[Exposure]) -> bool:
        """Whether a plan has as many exposures as the wanted one, its ends within SLACK of that one's, and clips and
        loses no more than allowed.
        """
        if len(plan) != len(wanted):
            return False
        short, long = self._seen(plan[0]), self._seen(plan[-1])
        if short is not None and short.clipped > MOST_CLIPPED and wanted[0].light < plan[0].light:
            return False
        if long is not None and long.noisy > MOST_NOISY and wanted[-1].light > plan[-1].light:
            return False
        if not math.isclose(self._free_of_flicker(plan[-1].exposure_us), plan[-1].exposure_us, rel_tol=0.01):
            return False
        pairs = ((plan[0], wanted[0]), (plan[-1], wanted[-1]))
        slack = SETTLED_SLACK if self.settled else SLACK
        return all(1 / slack <= have.light / want.light <= slack for have, want in pairs)


def _judged(frames: list[FrameStatistics], plan: Sequence[Exposure]) -> list[FrameStatistics]:
    """The frames of two brackets, and before them the newest of each exposure of the plan that is not among these.

    A busy machine may lose the frames of one exposure for seconds: those of the other, which clip or are dark, would
    otherwise call for a large step.
    """
    newest = frames[-2 * len(plan) :]
    for exposure in plan:
        alike = [frame for frame in frames if _alike(frame.light, exposure.light)]
        if alike and alike[-1] not in newest:
            newest = [alike[-1], *newest]
    return newest


def _alike(light: float, other: float) -> bool:
    return abs(light - other) <= 0.05 * other
