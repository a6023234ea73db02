"""How long the fusion process may be busy with a bracket before it counts as hung."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from livemef.capture.child import Lifeline

QUICK_S, FIRST_STEP_S, SLOWER = 1.0, 60.0, 4.0
"""A step of fusing below QUICK_S needs no patience; the first may take FIRST_STEP_S, others SLOWER times the longest.
"""


class Patience:
    """How long a step of fusing may take before it counts as a hang, from the longest so far.

    A full-resolution network on a slow processor takes longer for a bracket than a heartbeat may lack; heartbeats then
    come from a thread, for a while that a hung device would exceed.
    """

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._longest_s: float | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """While this lasts, a step is under way."""
        began_s = time.monotonic()
        if self._longest_s is not None and self._longest_s < QUICK_S:
            yield
        else:
            limit_s = FIRST_STEP_S if self._longest_s is None else SLOWER * self._longest_s
            with self._lifeline.opening("fusing", limit_s):
                yield
        self._longest_s = max(self._longest_s or 0.0, time.monotonic() - began_s)
