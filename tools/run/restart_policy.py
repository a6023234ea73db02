"""When a dead process is started again. Pure: the caller brings the clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RestartPolicy:
    """The first restart is immediate, later ones wait ever longer; a healthy stretch forgives all. In seconds."""

    first_wait_s: float = 0.25
    longest_wait_s: float = 15.0
    healthy_after_s: float = 20.0
    beat_limit_s: float = 5.0
    start_limit_s: float = 60.0

    def wait_s(self, failures: int) -> float:
        """Pause before the restart that follows the `failures`-th failure in a row (1 = the first)."""
        return 0.0 if failures <= 1 else min(self.longest_wait_s, self.first_wait_s * 2.0 ** (failures - 2))

    def failures(self, before: int, lived_s: float) -> int:
        """Failures in a row, after one more death at the age of `lived_s`."""
        return 1 if lived_s >= self.healthy_after_s else before + 1

    def is_hung(self, silent_s: float, ready: bool) -> bool:
        """Whether a process that has said nothing for `silent_s` should be killed."""
        return silent_s > (self.beat_limit_s if ready else self.start_limit_s)
