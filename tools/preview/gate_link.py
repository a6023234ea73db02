"""The gate's line to the supervisor: asks for changes, and keeps what the supervisor tells.

All of it runs in one asyncio loop. Without a pipeline (`livemef preview`) there is no line: all changes are refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from livemef.capture.child import Command, Lifeline
from livemef.tools.preview.event_log import EventLog
from livemef.tools.run.outcome import Outcome, problem

ASK_LIMIT_S = 15.0
"""Longest wait for an outcome: a few changes may be waiting before it, each with a limit of its own."""


class GateLink:
    """settings, status: the newest that the supervisor has told, as GET /settings and GET /status show them."""

    def __init__(self, lifeline: Lifeline | None) -> None:
        self._lifeline = lifeline
        self.events = EventLog()
        self.settings: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._last_ask = time.time_ns()  # no number of an earlier life comes again

    @property
    def controls(self) -> bool:
        """Whether there is a pipeline to control."""
        return self._lifeline is not None

    def start(self) -> None:
        """Begin to listen. To be called in the loop."""
        if self._lifeline is not None:
            asyncio.get_running_loop().add_reader(self._lifeline.fileno(), self.take_in)
            self._lifeline.ask(do="hello", ask=0)

    def stop(self) -> None:
        """Listen no more; who still waits for an outcome gets none."""
        if self._lifeline is not None:
            asyncio.get_running_loop().remove_reader(self._lifeline.fileno())
        for waiting in self._asked.values():
            waiting.cancel()

    def take_in(self) -> None:
        """Take in what the supervisor has sent."""
        if self._lifeline is None:
            return
        for command in self._lifeline.commands():
            self._take(command)
        if self._lifeline.stopping:  # the pipe may be at its end: readable for ever
            asyncio.get_running_loop().remove_reader(self._lifeline.fileno())

    def _take(self, command: Command) -> None:
        values = dict(command.values)
        if command.name == "live":
            self.settings = values
        elif command.name == "status":
            self.status = values
        elif command.name == "event":
            self.events.add(values["event"], values["data"])
        elif command.name == "answer":
            waiting = self._asked.pop(values["ask"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(Outcome(values["status"], values["body"]))

    async def ask(self, do: str, who: str, values: Mapping[str, Any]) -> Outcome:
        """Ask for a change, and wait for what comes of it."""
        if self._lifeline is None:
            return problem(409, "this page belongs to no pipeline: open the page of livemef run to change something")
        self._last_ask += 1
        number, waiting = self._last_ask, asyncio.get_running_loop().create_future()
        self._asked[number] = waiting
        self._lifeline.ask(do=do, ask=number, who=who, **values)
        try:
            return await asyncio.wait_for(waiting, ASK_LIMIT_S)
        except asyncio.TimeoutError:
            return problem(503, f"no outcome within {ASK_LIMIT_S:g} s; look at the settings before trying again")
        finally:
            self._asked.pop(number, None)
