"""Settings of a sim:// URI, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from livemef.capture.cameras.base import CameraLimits
from livemef.capture.cameras.pacing import PACES
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure
from livemef.capture.uri import (
    CameraUri,
    Reader,
    duration_us,
    number,
    one_of,
    picture_size,
    read_query,
    span,
    switch,
    whole,
)

SCENES = ("room", "flat", "bars", "dark", "chart", "board", "target")
RESPONSES = ("srgb", "linear", "curve")
_LONGEST_US = 16000.0
_DEFAULT_RATIO = 16.0


@dataclass(frozen=True)
class SimulatedSettings:
    """The simulated camera's settings. Electrons are per pixel; DN are steps of the converter; durations are in us.

    scene: room (an interior with a window), flat (even grey), bars (upright black and white bars), dark (the lens
    is covered), chart (a ColorChecker), board (a ChArUco board in ever new poses), target (a sheet with a
    ColorChecker, slanted bars, even grey and a scale bar); `radiance_map` names a picture file instead. motion:
    speed of all motion, 1 = natural, 0 = none. exposure, gain: the accepted ranges. offset: added to every
    exposure, unreported. delay, gain_delay: frames as in CameraInfo. metadata: frames report their exposure.
    vignetting, hot, response, gamma, contrast: as in SensorModel. crosstalk: share of a channel's light that comes
    from the others. adc: bits of the converter. bits: of the picture. focal, k1, k2, roll: as in Lens, for the
    board and the target. blur: of the optics, sigma in pixels, for the target. readout: from the first row's
    exposure to the last row's. flicker: depth of the light's flicker, at twice the frequency `mains`. Faults: drop,
    duplicate, stall are probabilities for each frame, ignore for each request; stall_time: how long a stall lasts;
    jitter: standard deviation of timestamps; clip: longest exposure really given; drift: change of the light in a
    minute, relative; bump: scene time at which something knocks against the camera, which then sees the scene
    displaced by bump_by pixels; defocus: scene time at which the lens slips, which then blurs what stands still by
    another defocus_by pixels (sigma).
    """

    radiance_map: str | None = None
    scene: str = "room"
    size: tuple[int, int] = (1280, 720)
    fps: float = 30.0
    exposure: tuple[float, float] | None = None
    step: float = 10.0
    gain: tuple[float, float] = (1.0, 16.0)
    delay: int = 2
    gain_delay: int = 1
    metadata: bool = True
    full_well: float = 10000.0
    read_noise: float = 3.0
    row_noise: float = 0.5
    column_noise: float = 0.5
    prnu: float = 0.005
    vignetting: float = 0.0
    hot: int = 0
    crosstalk: float = 0.0
    black: int = 64
    adc: int = 12
    bits: int = 8
    response: str = "srgb"
    gamma: float = 2.2
    contrast: float = 0.0
    offset: float = 0.0
    focal: float = 0.9
    k1: float = 0.0
    k2: float = 0.0
    roll: float = 0.0
    blur: float = 0.5
    readout: float | None = None
    motion: float = 1.0
    flicker: float = 0.0
    mains: float = 50.0
    drop: float = 0.0
    duplicate: float = 0.0
    stall: float = 0.0
    stall_time: float = 1.5e6
    jitter: float = 0.0
    ignore: float = 0.0
    clip: float | None = None
    drift: float = 0.0
    bump: float | None = None
    bump_by: float = 4.0
    defocus: float | None = None
    defocus_by: float = 1.0
    seed: int = 1
    pace: str = "realtime"

    @property
    def period_us(self) -> float:
        """From one frame to the next."""
        return 1e6 / self.fps

    @property
    def readout_us(self) -> float:
        """From the first row's exposure to the last row's; by default 60 % of the period."""
        return 0.6 * self.period_us if self.readout is None else self.readout

    @property
    def limits(self) -> CameraLimits:
        """The accepted range; by default from 10 us up to the frame period, in whole steps."""
        highest = self.period_us // self.step * self.step if self.step else self.period_us
        low, high = self.exposure or (max(self.step, 10.0), highest)
        return CameraLimits(low, high, self.step, *self.gain)

    @property
    def plan(self) -> tuple[Exposure, ...]:
        """Two exposures that suit the scenes: 1 ms and 16 ms where the frame period allows, else shorter."""
        limits = self.limits
        long_us = self._quantised(min(_LONGEST_US, 0.96 * limits.exposure_max_us))
        short_us = self._quantised(long_us / _DEFAULT_RATIO)
        return tuple(Exposure(time_us, limits.gain_min) for time_us in (short_us, long_us) if time_us > 0)

    def _quantised(self, time_us: float) -> float:
        low, high = self.limits.exposure_min_us, self.limits.exposure_max_us
        steps = round(time_us / self.step) if self.step else 0
        return min(max(steps * self.step if self.step else time_us, low), high)


PARAMETERS: dict[str, Reader] = {
    "scene": one_of({name: name for name in SCENES}),
    "size": picture_size,
    "fps": number(0.1, 1000.0),
    "exposure": span(duration_us),
    "step": duration_us,
    "gain": span(number(1.0, 1000.0)),
    "delay": whole(0, 10),
    "gain_delay": whole(0, 10),
    "metadata": switch,
    "full_well": number(100.0, 1e6),
    "read_noise": number(0.0, 1000.0),
    "row_noise": number(0.0, 1000.0),
    "column_noise": number(0.0, 1000.0),
    "prnu": number(0.0, 0.2),
    "vignetting": number(0.0, 0.9),
    "hot": whole(0, 1000),
    "crosstalk": number(0.0, 0.5),
    "black": whole(0, 512),
    "adc": one_of({"10": 10, "12": 12}),
    "bits": one_of({"8": 8, "16": 16}),
    "response": one_of({name: name for name in RESPONSES}),
    "gamma": number(1.2, 4.0),
    "contrast": number(-0.9, 0.9),
    "offset": duration_us,
    "focal": number(0.3, 5.0),
    "k1": number(-0.5, 0.5),
    "k2": number(-0.5, 0.5),
    "roll": number(-45.0, 45.0),
    "blur": number(0.0, 10.0),
    "readout": duration_us,
    "motion": number(0.0, 100.0),
    "flicker": number(0.0, 1.0),
    "mains": one_of({"50": 50.0, "60": 60.0}),
    "drop": number(0.0, 0.95),
    "duplicate": number(0.0, 1.0),
    "stall": number(0.0, 1.0),
    "stall_time": duration_us,
    "jitter": duration_us,
    "ignore": number(0.0, 1.0),
    "clip": duration_us,
    "drift": number(-0.99, 10.0),
    "bump": duration_us,
    "bump_by": number(0.1, 100.0),
    "defocus": duration_us,
    "defocus_by": number(0.05, 30.0),
    "seed": whole(0, 2**31 - 1),
    "pace": one_of({pace: pace for pace in PACES}),
}


def read_settings(uri: CameraUri) -> SimulatedSettings:
    """The settings of a sim:// URI. Raises CaptureError for what is unknown, malformed or impossible."""
    values: dict[str, Any] = read_query(uri, PARAMETERS)
    if uri.path:
        if "scene" in values:
            raise CaptureError(
                f"camera '{uri.text}': names a radiance map and scene={values['scene']}: give one of them"
            )
        values["radiance_map"] = uri.path
    settings = SimulatedSettings(**values)
    longest = settings.limits.exposure_max_us
    if longest > settings.period_us or settings.limits.exposure_min_us <= 0 or not settings.plan:
        raise CaptureError(
            f"camera '{uri.text}': exposures must lie above 0 and within the frame period of {settings.period_us:g} us"
        )
    if settings.readout_us > settings.period_us:
        raise CaptureError(f"camera '{uri.text}': readout is longer than the frame period of {settings.period_us:g} us")
    return settings
