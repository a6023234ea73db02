"""Counters of a subscriber: frames, rate, latency, gaps."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LATENCIES_KEPT = 100_000
"""Number of latencies kept: the newest, about an hour at 30 frames a second."""


@dataclass(slots=True)
class WatchCounts:
    """Counts since the first frame. Times in seconds on one clock, latencies in milliseconds."""

    frames: int = 0
    malformed: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    after_readout_ms: dict[int, deque[float]] = field(default_factory=dict)

    def note(
        self, now_s: float, latency_ms: float, after_readout_ms: float | None = None, exposure: int | None = None
    ) -> None:
        """Count a frame received at `now_s`.

        after_readout_ms: from the last row of its newest frame, None = unknown. exposure: that frame's place in the
        bracket, 0 = darkest.
        """
        self.first_s = now_s if self.frames == 0 else self.first_s
        self.last_s = now_s
        self.frames += 1
        self.latencies_ms.append(latency_ms)
        if after_readout_ms is not None and exposure is not None:
            kept = self.after_readout_ms.setdefault(exposure, deque(maxlen=LATENCIES_KEPT))
            kept.append(after_readout_ms)

    @property
    def fps(self) -> float:
        """Frames a second from the first to the last; 0 before the second frame."""
        span_s = self.last_s - self.first_s
        return (self.frames - 1) / span_s if span_s > 0 else 0.0

    def latency_ms(self) -> dict[str, float | None]:
        """Median and 95th percentile; None before the first frame."""
        return _spread(self.latencies_ms)

    def after_readout(self) -> dict[str, float | None]:
        """The same from the last row of the newest frame; None where that is not known."""
        return _spread([one for kept in self.after_readout_ms.values() for one in kept])

    def by_exposure(self) -> dict[int, dict[str, float | None]]:
        """The same for each exposure that completed a bracket, dark to bright."""
        return {index: _spread(self.after_readout_ms[index]) for index in sorted(self.after_readout_ms)}

    def summary(self, gaps: int, restarts: int) -> dict[str, Any]:
        """The line that `livemef watch --json` ends with."""
        return {
            "frames": self.frames,
            "fps": round(self.fps, 3),
            "gaps": gaps,
            "latency_ms": self.latency_ms(),
            "after_readout_ms": self.after_readout(),
            "after_readout_by_exposure_ms": self.by_exposure(),
            "restarts": restarts,
            "malformed": self.malformed,
        }


def _spread(values: Collection[float]) -> dict[str, float | None]:
    if not values:
        return {"median": None, "p95": None}
    median, p95 = np.percentile(np.array(values), [50, 95])
    return {"median": round(float(median), 3), "p95": round(float(p95), 3)}
