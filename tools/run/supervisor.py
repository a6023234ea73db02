"""Keeps the processes of the pipeline alive: starts them, reads their reports, starts them again, ends them all.

What a process or a library in it writes on its standard output or error comes here through a pipe that is always read:
nothing of the pipeline ever waits for the terminal.
"""

from __future__ import annotations

import logging
import multiprocessing.connection
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from livemef.capture.child import STOP, Command, Report, send_if_room
from livemef.tools.run.restart_policy import RestartPolicy
from livemef.tools.run.spawning import ChildSpec, close, read_output, start

STOP_GRACE_S = 0.9
TASK_GRACE_S = 15.0
"""A recording writes what it has accepted before it ends."""

_LOG = logging.getLogger(__name__)


@dataclass
class Child:
    """What the supervisor knows of one process. `totals` adds up the counters of the lives before this one."""

    spec: ChildSpec
    process: BaseProcess | None = None
    pipe: Connection | None = None
    output: Connection | None = None
    started: float = 0.0
    last_heard: float = 0.0
    ready: bool = False
    ever_ready: bool = False
    finished: bool = False
    failures: int = 0
    restarts: int = 0
    start_at: float = 0.0
    ending_since: float | None = None
    """When it was asked to end so that it can be started again; None = it was not."""
    last_words: str = ""
    fault: str = ""
    trace: str = ""
    described: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)

    def count(self, key: str) -> int:
        """A counter over all lives of the process."""
        return self.totals.get(key, 0) + int(self.values.get(key, 0))


CANNOT_BE_EXECUTED = 255
"""Exit code with which multiprocessing's *spawn* ends where the system refuses to execute Python."""


class ChildTrace(Exception):
    """A child's traceback as text, shown as the cause of what it led to."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class StartFailed(Exception):
    """A process failed before it ever worked. `surroundings`: not by a fault of livemef."""

    def __init__(self, message: str, surroundings: bool) -> None:
        super().__init__(message)
        self.surroundings = surroundings


class Listener(Protocol):
    """What is told of each child's answers and requests, and of its end."""

    def on_report(self, name: str, report: Report) -> None:
        """A child has answered a command, or asks for something."""
        ...

    def on_end(self, name: str) -> None:
        """A child has ended. If it is started again, its arguments are asked for after this."""
        ...


class Supervisor:
    """Runs children until `stop`. Call `step` in a loop: it waits at most `wait_s` and does what is due.

    relay: takes text that a child wrote; by default it goes to the standard error. listener: may be set later.
    tasks: processes that were added by `run_task`, by name; they end by themselves and are not started again.
    """

    listener: Listener | None = None

    def __init__(
        self,
        specs: list[ChildSpec],
        policy: RestartPolicy,
        clock: Callable[[], float] = time.monotonic,
        relay: Callable[[str], None] = lambda text: print(text, file=sys.stderr, end=""),
    ) -> None:
        self.children = {spec.name: Child(spec) for spec in specs}
        self.tasks: dict[str, Child] = {}
        self._policy, self._clock = policy, clock
        self._relay = relay
        self._last_turn: float | None = None

    def start(self) -> None:
        """Start all children. Raises StartFailed, and OSError where the system has no room for them."""
        for child in self.children.values():
            try:
                self._spawn(child)
            except BrokenPipeError:
                limit = _limit_in_words(None) or _limit_in_words(CANNOT_BE_EXECUTED)
                raise StartFailed(f"{child.spec.name}: ended before it read what to do; {limit}", True) from None

    def run_task(self, spec: ChildSpec) -> None:
        """Start a process that ends by itself. Raises OSError where the system has no room for it."""
        child = Child(spec)
        self._spawn(child)
        self.tasks[spec.name] = child

    def tell(self, name: str, message: Command | str) -> bool:
        """Send a message to a child or task. Never waits; returns False if it is not there, or takes nothing in."""
        child = self.children.get(name) or self.tasks.get(name)
        if child is None or child.pipe is None:
            return False
        try:
            return send_if_room(child.pipe, message, 0.0)
        except OSError:
            return False

    def is_there(self, name: str) -> bool:
        """Whether that child runs now."""
        return self.children[name].process is not None

    def restart(self, name: str) -> bool:
        """End a child and start it again at once; it is killed if it does not end in time. False if it is not there."""
        child = self.children[name]
        if child.process is None:
            child.start_at = self._clock()
            return False
        child.ending_since = self._clock()
        self.tell(name, STOP)
        return True

    def step(self, wait_s: float) -> None:
        """Take in what children report, note who died or hangs, restart who is due. Raises StartFailed."""
        waiting: list[Any] = []
        for child in self._all:
            waiting += [pipe for pipe in (child.pipe, child.output) if pipe is not None]
            waiting += [child.process.sentinel] if child.process else []
        news = multiprocessing.connection.wait(waiting, timeout=wait_s)
        self._discount_absence(wait_s)
        for child in self._all:
            if child.pipe in news or child.output in news:
                self._hear(child)
            self._bury_if_dead(child)
            self._kill_if_hung(child)
            if child.spec.name in self.tasks:
                self._forget_if_over(child)
            elif child.process is None and not child.finished and self._clock() >= child.start_at:
                self._spawn_again(child)

    @property
    def _all(self) -> list[Child]:
        return [*self.children.values(), *self.tasks.values()]

    def _discount_absence(self, wait_s: float) -> None:
        now, before = self._clock(), self._last_turn
        self._last_turn = now
        absent_s = 0.0 if before is None else self._policy.absence_s(now - before, wait_s)
        for child in self._all:
            child.last_heard = min(now, child.last_heard + absent_s)

    def _spawn(self, child: Child) -> None:
        """Raises OSError, see `start`."""
        started = start(child.spec)
        child.process, child.pipe, child.output = started.process, started.pipe, started.output
        child.ready, child.fault, child.trace = False, "", ""
        child.started = child.last_heard = self._clock()

    def _spawn_again(self, child: Child) -> None:
        child.restarts += 1
        try:
            self._spawn(child)
        except OSError as error:
            self._failed_again(child, f"cannot be started: {error.strerror}", 0.0)

    def _failed_again(self, child: Child, reason: str, lived_s: float) -> None:
        child.failures = self._policy.failures(child.failures, lived_s, child.ready)
        wait_s = self._policy.wait_s(child.failures)
        child.start_at = self._clock() + wait_s
        child.last_words = reason
        pause = f" in {wait_s:.1f} s" if wait_s else ""
        _LOG.warning("%s: %s; starting it again%s", child.spec.name, reason, pause)

    def _hear(self, child: Child) -> None:
        """Take in all reports that have come, and what it wrote."""
        try:
            while child.pipe is not None and child.pipe.poll():
                self._note(child, child.pipe.recv())
        except (EOFError, OSError):
            close(child.pipe)
            child.pipe = None
        try:
            text = read_output(child.output)
        except (EOFError, OSError):
            close(child.output)
            child.output = None
        else:
            if text:
                self._relay(text)

    def _note(self, child: Child, report: Report) -> None:
        child.last_heard = self._clock()
        if report.kind == "ready":
            child.ready = child.ever_ready = True
            child.described = dict(report.values)
            return
        if report.kind in ("answer", "ask"):
            if self.listener is not None:
                self.listener.on_report(child.spec.name, report)
            return
        child.values |= report.values
        child.finished = report.kind == "finished"
        if report.kind in ("failed", "crashed"):
            child.fault, child.last_words = report.kind, report.message
            child.trace = report.traceback

    def _bury_if_dead(self, child: Child) -> None:
        process = child.process
        if process is None or process.is_alive():
            return
        self._hear(child)
        process.join()
        exit_code = process.exitcode
        process.close()
        self._hang_up(child)
        child.process = None
        if self.listener is not None:
            self.listener.on_end(child.spec.name)
        if child.spec.name in self.tasks or (child.finished and child.ending_since is None):
            return
        for key, value in child.values.items():
            if isinstance(value, int) and not isinstance(value, bool):
                child.totals[key] = child.totals.get(key, 0) + value
        child.values = {}
        if child.ending_since is not None:
            child.ending_since, child.finished, child.start_at = None, False, self._clock()
            return
        reason = child.last_words if child.fault else _how_it_died(exit_code)
        if not child.ever_ready and (child.fault or (exit_code or 0) > 0):
            trace = ChildTrace(child.trace) if child.trace else None
            limit = "" if child.fault else _limit_in_words(exit_code)
            raise StartFailed(
                f"{child.spec.name}: {reason}; {limit}" if limit else reason, bool(limit) or child.fault == "failed"
            ) from trace
        self._failed_again(child, reason, self._clock() - child.started)

    def _forget_if_over(self, child: Child) -> None:
        if child.process is None:
            del self.tasks[child.spec.name]

    def _kill_if_hung(self, child: Child) -> None:
        if child.ending_since is not None and child.process is not None:
            if self._clock() - child.ending_since > STOP_GRACE_S:
                child.process.kill()
            return
        if child.process is None or not self._policy.is_hung(self._clock() - child.last_heard, child.ready):
            return
        now = self._clock()
        what = f"no sign of life for {now - child.last_heard:.0f} s"
        if not child.ready:
            what = f"not ready after {now - child.started:.0f} s ({child.values.get('state', 'starting')})"
        _LOG.warning("%s: %s; ending it", child.spec.name, what)
        child.last_heard = now
        child.process.kill()

    def _hang_up(self, child: Child) -> None:
        close(child.pipe, child.output)
        child.pipe = child.output = None

    def stop(self) -> None:
        """Ask all to end, give them a moment (tasks a longer one), take in their last counters, kill who is left."""
        for child in self._all:
            self.tell(child.spec.name, STOP)
        self._end(list(self.children.values()), STOP_GRACE_S)
        self._end(list(self.tasks.values()), TASK_GRACE_S)

    def _end(self, ending: list[Child], grace_s: float) -> None:
        deadline = self._clock() + grace_s
        while self._clock() < deadline and any(_alive(child) for child in ending):
            for child in self._all:
                self._hear(child)
            time.sleep(0.01)
        for child in ending:
            self._hear(child)
            if child.process is None:
                continue
            if child.process.is_alive():
                child.process.kill()
            child.process.join(timeout=1.0)
            child.process = None
            self._hang_up(child)


def _alive(child: Child) -> bool:
    return child.process is not None and child.process.is_alive()


def _limit_in_words(exit_code: int | None) -> str:
    """What of the surroundings ends a process before it can say a word; "" where nothing is known."""
    if exit_code == CANNOT_BE_EXECUTED:
        return f"may this user execute {sys.executable}, and read what it imports?"
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return "probably not enough memory: raise the limit (ulimit -v)"
    return ""


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"
