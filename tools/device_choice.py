"""What the fusion process computes on, life after life: with `auto`, the CPU once CUDA has failed too often. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FALLBACK_AFTER = 3


@dataclass
class DeviceChoice:
    """configured: auto, cpu or cuda. driver_here: whether there is an NVIDIA driver at all. say: tells a person."""

    configured: str
    driver_here: bool
    say: Callable[[str], None] = field(repr=False)
    fallen_back: bool = False

    def next(self, failures: int, was_on: str | None, reason: str) -> str:
        """The device for the life that begins.

        failures: in a row, before it; was_on: the device of the life before, None if it got to none; reason: its
        last words. CUDA that failed FALLBACK_AFTER times in a row is not tried again by this program.
        """
        on_cuda = was_on == "cuda" or (was_on is None and self.driver_here)
        if self.configured == "auto" and not self.fallen_back and on_cuda and failures >= FALLBACK_AFTER:
            self.fallen_back = True
            self.say(f"fusion: CUDA failed {failures} times in a row ({reason}); it goes on with the CPU")
        return "cpu" if self.fallen_back else self.configured
