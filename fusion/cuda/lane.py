"""What one bracket in flight on a CUDA device needs: memory, a timeline of events, and its result."""

from __future__ import annotations

import time
from typing import Any

from livemef.fusion.cuda.memory import Buffers
from livemef.fusion.errors import FusionError
from livemef.fusion.fuser import Pending

WAIT_LIMIT_S = 4.0
"""Seconds after which a bracket, which takes milliseconds, counts as hung. Below the supervisor's limit, so that the
error is reported before the process is killed.
"""

POLL_S = 5e-5


class Lane:
    """Resources of one bracket in flight: memory, events, and its pending result."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._events: list[Any] = []
        self._marks: list[str] = []
        self.buffers: Buffers | None = None
        self.pending: Pending | None = None

    def start(self, stream: Any) -> None:
        """Begin a timeline."""
        self._marks = []
        self.mark("start", stream)

    def mark(self, stage: str, stream: Any) -> None:
        """Record an event: what was enqueued since the mark before belongs to `stage`."""
        if len(self._events) == len(self._marks):
            self._events.append(self._driver.Event())
        self._events[len(self._marks)].record(stream)
        self._marks.append(stage)

    def wait(self) -> None:
        """Until the last mark is reached. Raises FusionError after WAIT_LIMIT_S."""
        last, deadline = self._events[len(self._marks) - 1], time.monotonic() + WAIT_LIMIT_S
        while not last.query():
            if time.monotonic() > deadline:
                raise FusionError(f"the GPU has not answered for {WAIT_LIMIT_S:.0f} s: its driver or device hangs")
            time.sleep(POLL_S)

    def stages_ms(self) -> dict[str, float]:
        """Milliseconds by stage."""
        stages: dict[str, float] = {}
        for index, stage in enumerate(self._marks[1:]):
            spent = float(self._events[index + 1].time_since(self._events[index]))
            stages[stage] = stages.get(stage, 0.0) + spent
        return stages
