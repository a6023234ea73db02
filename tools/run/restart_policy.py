"""When a dead process is started again. Pure: the caller brings the clock."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_TURN_S = 1.0
"""A turn of the supervisor that takes longer was no turn: it did not run meanwhile."""


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

    def failures(self, before: int, lived_s: float, was_ready: bool = True) -> int:
        """Failures in a row, after one more death at the age of `lived_s`. One that never worked was never healthy."""
        return 1 if was_ready and lived_s >= self.healthy_after_s else before + 1

    def is_hung(self, silent_s: float, ready: bool) -> bool:
        """Whether a process that has sent nothing for `silent_s` should be killed."""
        return silent_s > (self.beat_limit_s if ready else self.start_limit_s)

    def absence_s(self, turn_s: float, wait_s: float) -> float:
        """How long the supervisor itself did not run, in a turn of `turn_s` that meant to wait for `wait_s` at most.

        The whole process group may be stopped and continued (Ctrl-Z, docker pause): nobody was silent then.
        """
        absent_s = turn_s - wait_s
        return absent_s if absent_s > LONGEST_TURN_S else 0.0
