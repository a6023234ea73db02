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
class Allowed:
    """Values that a setting may have: numbers from `low` to `high`, the `words`, and 0 if `zero`. No numbers at all if
    `low` is None.
    """

    low: float | None = None
    high: float = math.inf
    words: tuple[str, ...] = ()
    zero: bool = False

    def holds(self, value: object) -> bool:
        """Whether the value is allowed."""
        if isinstance(value, str):
            return value in self.words
        if self.low is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return value != math.inf and (self.low <= value <= self.high or (self.zero and value == 0))

    def __str__(self) -> str:
        numbers = [] if self.low is None else [f"{self.low:g}..{self.high:g}"]
        words = [f"'{word}'" for word in self.words]
        *others, last = ["0"] * self.zero + numbers + words
        return f"{', '.join(others)} or {last}" if others else last


ALLOWED = {
    "network_lines": Allowed(16, 4320, zero=True),
    "gamma": Allowed(0.25, 4, words=("adaptive",)),
    "adaptive_target": Allowed(0.01, 0.99),
    "white": Allowed(50, 100, zero=True),
    "colour": Allowed(words=get_args(Transfer)),
    "shoulder": Allowed(1.02, 100),
    "chroma": Allowed(words=get_args(Rule)),
    "window_radius": Allowed(1, 64),
    "window_eps": Allowed(1e-6, 1e6),
    "motion": Allowed(words=get_args(MotionMode)),
}


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
        for name, allowed in ALLOWED.items():
            if not allowed.holds(getattr(self, name)):
                raise FusionError(f"fusion setting {name} is {getattr(self, name)!r}; it must be {allowed}")

    @property
    def small_lines(self) -> int:
        """Lines of the small picture along its shorter side."""
        return self.network_lines or STILLS_LINES

    def sees_motion_like(self, other: FusionSettings) -> bool:
        """Whether what a stream's memory has learned of motion and noise with `other` is true with these as well: it is
        measured in the exposures' small pictures, before any tone or colour.
        """
        return (self.small_lines, self.motion) == (other.small_lines, other.motion)

    def as_dict(self) -> dict[str, Any]:
        """Names and plain values, for headers and reports."""
        return asdict(self)
