"""Messages to the gate: the pipeline's status about once a second, and each change of a process or of the exposures."""

from __future__ import annotations

import time
from typing import Any

from livemef.capture.child import Command
from livemef.tools.run.control import GATE, Control
from livemef.tools.run.status import api_status, control_of, process_state
from livemef.tools.run.supervisor import Supervisor
from livemef.tools.run.takes import Takes

PERIOD_S = 1.0


class StatusFeed:
    """Call `step` every turn."""

    def __init__(self, supervisor: Supervisor, control: Control, takes: Takes) -> None:
        self._supervisor, self._control, self._takes = supervisor, control, takes
        self._states: dict[str, Any] = {}
        self._plan: dict[str, Any] = {}
        self._next_s = 0.0

    def step(self) -> None:
        """Send what has changed, and the status when it is due."""
        children = self._supervisor.children
        if GATE not in children:
            return
        news = self._news_of_processes() | self._news_of_the_plan()
        if news or time.monotonic() >= self._next_s:
            self.push()

    def push(self) -> None:
        """Send the status now."""
        self._next_s = time.monotonic() + PERIOD_S
        values = api_status(self._supervisor.children) | {"revision": self._control.state.revision}
        self._supervisor.tell(GATE, Command(0, "status", values | self._takes.status()))

    def _news_of_processes(self) -> bool:
        news = False
        for name, child in self._supervisor.children.items():
            state = process_state(child)
            if state != self._states.get(name):
                news, self._states[name] = True, state
                self._control.event("process", name=name, **state)
        return news

    def _news_of_the_plan(self) -> bool:
        found = control_of(self._supervisor.children["capture"])
        if not found or found == self._plan:
            return False
        self._plan = found
        self._control.event("plan", **found)
        return True
