"""Keeps the processes of the pipeline alive: starts them, reads their reports, starts them again, ends them all.

What a process or a library in it writes on its standard output or error comes here through a pipe that is always read:
nothing of the pipeline ever waits for the terminal.
"""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from livemef.capture.child import Report
from livemef.tools.logs import log_level, set_up_logging
from livemef.tools.run.restart_policy import RestartPolicy
from livemef.tools.safe_start import outside_current_folder, run_in_folder

SPAWN = multiprocessing.get_context("spawn")
STOP_GRACE_S = 0.9
GROUP_SIGNALS = {signal.SIGINT, signal.SIGHUP}
MOST_OUTPUT = 1 << 16
OUTPUT_BYTES = 1 << 20
"""Of a child's output, kept while the supervisor is stopped; beyond that whoever prints waits."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChildSpec:
    """A process of the pipeline: runs `target(pipe, parent_pid, *arguments())`; targets are importable functions."""

    name: str
    target: Callable[..., None]
    arguments: Callable[[], tuple[Any, ...]]


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
    last_words: str = ""
    fault: str = ""
    trace: str = ""
    described: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)

    def count(self, key: str) -> int:
        """A counter over all lives of the process."""
        return self.totals.get(key, 0) + int(self.values.get(key, 0))


class ChildTrace(Exception):
    """A child's traceback as text, shown as the cause of what it led to."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class StartFailed(Exception):
    """A process failed before it ever worked. `surroundings`: not by a fault of livemef."""

    def __init__(self, message: str, surroundings: bool) -> None:
        super().__init__(message)
        self.surroundings = surroundings


class Supervisor:
    """Runs children until `stop`. Call `step` in a loop: it waits at most `wait_s` and does what is due.

    relay: takes text that a child wrote; by default it goes to the standard error.
    """

    def __init__(
        self,
        specs: list[ChildSpec],
        policy: RestartPolicy,
        clock: Callable[[], float] = time.monotonic,
        relay: Callable[[str], None] = lambda text: print(text, file=sys.stderr, end=""),
    ) -> None:
        self.children = {spec.name: Child(spec) for spec in specs}
        self._policy, self._clock = policy, clock
        self._relay = relay
        self._last_turn: float | None = None

    def start(self) -> None:
        """Start all children."""
        for child in self.children.values():
            self._spawn(child)

    def step(self, wait_s: float) -> None:
        """Take in what children report, note who died or hangs, restart who is due. Raises StartFailed."""
        waiting: list[Any] = []
        for child in self.children.values():
            waiting += [pipe for pipe in (child.pipe, child.output) if pipe is not None]
            waiting += [child.process.sentinel] if child.process else []
        multiprocessing.connection.wait(waiting, timeout=wait_s)
        self._discount_absence(wait_s)
        for child in self.children.values():
            self._hear(child)
            self._bury_if_dead(child)
            self._kill_if_hung(child)
            if child.process is None and not child.finished and self._clock() >= child.start_at:
                self._spawn_again(child)

    def _discount_absence(self, wait_s: float) -> None:
        now, before = self._clock(), self._last_turn
        self._last_turn = now
        absent_s = 0.0 if before is None else self._policy.absence_s(now - before, wait_s)
        for child in self.children.values():
            child.last_heard = min(now, child.last_heard + absent_s)

    def _spawn(self, child: Child) -> None:
        """Start a child. Raises OSError where the system has no process, memory or file left for it."""
        ours, theirs = SPAWN.Pipe()
        output, written = SPAWN.Pipe(duplex=False)
        with suppress(OSError):  # where this user may have no more, it stays at 64 KiB
            fcntl.fcntl(written.fileno(), fcntl.F_SETPIPE_SZ, OUTPUT_BYTES)
        arguments = (theirs, os.getpid(), *child.spec.arguments())
        process = SPAWN.Process(
            target=_child_main,
            args=(written, _current_folder(), log_level(), child.spec.name, child.spec.target, *arguments),
            name=f"livemef-{child.spec.name}",
            daemon=True,
        )
        try:
            _start_shielded(process)
        except BaseException:
            _close(ours, output)
            raise
        finally:
            _close(theirs, written)
        child.process, child.pipe, child.output = process, ours, output
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
            _close(child.pipe)
            child.pipe = None
        try:
            text = _read_output(child.output)
        except (EOFError, OSError):
            _close(child.output)
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
        if child.finished:
            return
        for key, value in child.values.items():
            if isinstance(value, int) and not isinstance(value, bool):
                child.totals[key] = child.totals.get(key, 0) + value
        child.values = {}
        reason = child.last_words if child.fault else _how_it_died(exit_code)
        if not child.ever_ready and (child.fault or (exit_code or 0) > 0):
            trace = ChildTrace(child.trace) if child.trace else None
            raise StartFailed(reason, child.fault == "failed") from trace
        self._failed_again(child, reason, self._clock() - child.started)

    def _kill_if_hung(self, child: Child) -> None:
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
        _close(child.pipe, child.output)
        child.pipe = child.output = None

    def stop(self) -> None:
        """Ask all children to end, give them a moment, take in their last counters, kill who is left."""
        for child in self.children.values():
            if child.pipe is not None:
                _ask_to_stop(child.pipe)
        deadline = self._clock() + STOP_GRACE_S
        while self._clock() < deadline and any(_alive(child) for child in self.children.values()):
            for child in self.children.values():
                self._hear(child)
            time.sleep(0.01)
        for child in self.children.values():
            self._hear(child)
            if child.process is None:
                continue
            if child.process.is_alive():
                child.process.kill()
            child.process.join(timeout=1.0)
            child.process = None
            self._hang_up(child)


def _start_shielded(process: SpawnProcess) -> None:
    """Start a process that does not receive Ctrl-C or the loss of the terminal, which go to the whole process group:
    the supervisor ends its children in order.
    """
    with outside_current_folder():
        resource_tracker.ensure_running()  # left to start(), it would unblock the signals again
        signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


def _child_main(
    written: Connection, folder: str, level: str, name: str, target: Callable[..., None], *arguments: Any
) -> None:
    """Main function of every child process.

    Its standard output and error become the pipe to the supervisor; its log records are printed there, with its name.
    """
    for standard in (1, 2):
        os.dup2(written.fileno(), standard)
    written.close()
    set_up_logging(level, f"{name}: ")
    run_in_folder(folder, target, *arguments)


def _read_output(pipe: Connection | None) -> str:
    """What has been written so far; "" = nothing. Raises EOFError when nobody can write any more."""
    if pipe is None or not pipe.poll():
        return ""
    data = os.read(pipe.fileno(), MOST_OUTPUT)
    if not data:
        raise EOFError
    return data.decode("utf-8", "backslashreplace")


def _close(*pipes: Connection | None) -> None:
    for pipe in pipes:
        if pipe is not None:
            pipe.close()


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # deleted since; relative paths mean nothing there
        return "/"


def _alive(child: Child) -> bool:
    return child.process is not None and child.process.is_alive()


def _ask_to_stop(pipe: Connection) -> None:
    try:
        pipe.send("stop")
    except OSError:
        return


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"
