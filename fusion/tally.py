"""Counters and recent measurements of the fusion process."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Any

RATE_WINDOW_S = 2.0
FIRST_PAUSE_S = 30.0
"""Half of how long the second frame is waited for before the first one's measurements are dropped."""


@dataclass
class Tally:
    """Counters and recent measurements since the process started.

    superseded: brackets that were dropped for newer ones. unmatched: frames that were in no bracket.
    unsent: frames for which the first output had no free buffer. published: all others, with or without a subscriber.
    """

    brackets: int = 0
    superseded: int = 0
    unmatched: int = 0
    fused: int = 0
    published: int = 0
    unsent: int = 0
    ev_gap: float | None = None
    recent: deque[tuple[float, float, float]] = field(default_factory=deque)  # when, latency ms, fuse ms

    def note(self, now_s: float, latency_ms: float, fuse_ms: float) -> None:
        """Record a published frame: time of publication (monotonic, s), latency and time of fusion (ms)."""
        self.recent.append((now_s, latency_ms, fuse_ms))
        self.forget(now_s)

    def forget(self, now_s: float) -> None:
        """Drop measurements that are older than RATE_WINDOW_S, but for the newest two while frames still come.

        Frames may be seconds apart: large stills, long exposures.
        """
        while len(self.recent) > 2 and self.recent[0][0] < now_s - RATE_WINDOW_S:
            self.recent.popleft()
        if self.recent and now_s - self.recent[-1][0] > max(RATE_WINDOW_S, 2 * self._longest_pause_s()):
            self.recent.clear()

    def _longest_pause_s(self) -> float:
        times = [when for when, _, _ in self.recent]
        return max((after - before for before, after in itertools.pairwise(times)), default=FIRST_PAUSE_S)

    def values(self, now_s: float) -> dict[str, Any]:
        """Counters and recent measurements, for the supervisor."""
        self.forget(now_s)
        counters = {
            "brackets": self.brackets,
            "superseded": self.superseded,
            "unmatched": self.unmatched,
            "fused": self.fused,
            "published": self.published,
            "unsent": self.unsent,
        }
        if len(self.recent) < 2:
            return counters | {"fps": 0.0, "latency_ms": None, "fuse_ms": None, "ev_gap": self.ev_gap}
        times, latencies, fuse_times = zip(*self.recent, strict=True)
        return counters | {
            "fps": (len(times) - 1) / max(times[-1] - times[0], 1e-9),
            "latency_ms": statistics.median(latencies),
            "fuse_ms": statistics.median(fuse_times),
            "ev_gap": self.ev_gap,
        }
