"""Settings of a fuser."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from livemef.fusion.errors import FusionError
from livemef.fusion.method.chroma_map import Rule, Transfer
from livemef.fusion.method.gamma import Gamma

MotionMode = Literal["off", "global", "full"]

STILLS_LINES = 135
"""Lines of the small picture for regional statistics, when the network itself sees the whole picture."""


@dataclass(frozen=True)
class FusionSettings:
    """Settings of fusion. Raises FusionError for a value outside its range.

    network_lines: lines along the shorter side that the network sees, 16..4320; 0 = all of them, the paper's way.
    gamma: exponent on the fused lightness, 0.25..4, below 1 brightens; "adaptive": from the picture's mean lightness.
    adaptive_target: mean lightness, 0..1 exclusive, that the adaptive exponent aims at.
    white: L*, 50..100, to which the brightest hundredth of the fused lightness is raised, as far as the brightest
    exposure reaches it (night stays night) and by 15 % at most; 0 = not at all.
    colour: "tone" (each exposure's colour as the camera would have rendered it at the fused lightness),
    "chromaticity" (the exposures' light is scaled to the fused lightness, so that hue and saturation stay as they
    were seen) or "lab" (a*, b* as they are in the exposures, whatever the lightness becomes: the paper).
    shoulder: of "tone": encoded value, 1.02..100, at which the camera's tone curve would end if it went on as it bends;
    most consumer cameras 1.1 to 1.4, a straight sRGB curve that clips hard more than 3.
    chroma: of "chromaticity" and "lab": "select" (the colour of the exposure with the larger chroma) or "weighted"
    (mean weighted by chroma). "tone" weighs by chroma, nearness in lightness and reliability, and does not use it.
    window_radius: 1..64, half the window of the local affine model, in pixels of the small picture.
    window_eps: > 0, L* squared; contrast below its root inside a window counts as noise and is not amplified.
    motion: what is done about exposures of different moments: "off"; "global" (the picture as a whole is moved back,
    where that helps); "full" (and where they still disagree, the picture is of the reference exposure alone).
    """

    network_lines: int = 90
    gamma: Gamma = 0.95
    adaptive_target: float = 0.5
    white: float = 95.0
    chroma: Rule = "select"
    colour: Transfer = "tone"
    shoulder: float = 1.25
    window_radius: int = 4
    window_eps: float = 0.25
    motion: MotionMode = "full"

    def __post_init__(self) -> None:
        _check(self.network_lines == 0 or 16 <= self.network_lines <= 4320, "network_lines", self, "0 or 16..4320")
        _check(self.gamma == "adaptive" or _within(self.gamma, 0.25, 4), "gamma", self, "0.25..4 or 'adaptive'")
        _check(_within(self.adaptive_target, 0.01, 0.99), "adaptive_target", self, "0.01..0.99")
        _check(self.chroma in ("select", "weighted"), "chroma", self, "'select' or 'weighted'")
        _check(self.white == 0 or _within(self.white, 50, 100), "white", self, "0 or 50..100")
        _check(_within(self.shoulder, 1.02, 100), "shoulder", self, "1.02..100")
        _check(self.colour in get_args(Transfer), "colour", self, "'tone', 'chromaticity' or 'lab'")
        _check(1 <= self.window_radius <= 64, "window_radius", self, "1..64")
        _check(self.motion in ("off", "global", "full"), "motion", self, "'off', 'global' or 'full'")
        _check(_within(self.window_eps, 1e-6, 1e6), "window_eps", self, "1e-6..1e6")

    @property
    def small_lines(self) -> int:
        """Lines of the small picture along its shorter side."""
        return self.network_lines or STILLS_LINES

    def as_dict(self) -> dict[str, Any]:
        """Names and plain values, for headers and reports."""
        return asdict(self)


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high


def _check(valid: bool, name: str, settings: FusionSettings, allowed: str) -> None:
    if not valid:
        raise FusionError(f"fusion setting {name} is {getattr(settings, name)!r}; it must be {allowed}")
