"""Keeps the processes of the pipeline alive: starts them, listens to them, starts them again, ends them all."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from livemef.capture.child import Report
from livemef.tools.logs import log_level, set_up_logging
from livemef.tools.run.restart_policy import RestartPolicy
from livemef.tools.safe_start import outside_current_folder, run_in_folder

SPAWN = multiprocessing.get_context("spawn")
STOP_GRACE_S = 0.9

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
    described: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)

    def count(self, key: str) -> int:
        """A counter over all lives of the process."""
        return self.totals.get(key, 0) + int(self.values.get(key, 0))


class StartFailed(Exception):
    """A process failed before it ever worked: `surroundings` tells whose fault it is."""

    def __init__(self, message: str, surroundings: bool) -> None:
        super().__init__(message)
        self.surroundings = surroundings


class Supervisor:
    """Runs children until `stop`. Call `step` in a loop: it waits at most `wait_s` and does what is due."""

    def __init__(
        self,
        specs: list[ChildSpec],
        policy: RestartPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.children = {spec.name: Child(spec) for spec in specs}
        self._policy, self._clock = policy, clock

    def start(self) -> None:
        """Start all children."""
        for child in self.children.values():
            self._spawn(child)

    def step(self, wait_s: float) -> None:
        """Hear what children say, note who died or hangs, restart who is due. Raises StartFailed."""
        waiting = [child.pipe for child in self.children.values() if child.pipe is not None]
        waiting += [child.process.sentinel for child in self.children.values() if child.process]  # type: ignore[misc]
        multiprocessing.connection.wait(waiting, timeout=wait_s)
        for child in self.children.values():
            self._hear(child)
            self._bury_if_dead(child)
            self._kill_if_hung(child)
            if child.process is None and not child.finished and self._clock() >= child.start_at:
                child.restarts += 1
                self._spawn(child)

    def _spawn(self, child: Child) -> None:
        spec = child.spec
        ours, theirs = SPAWN.Pipe()
        arguments = (theirs, os.getpid(), *spec.arguments())
        child.process = SPAWN.Process(
            target=run_in_folder,
            args=(os.getcwd(), _child_main, log_level(), spec.name, spec.target, *arguments),
            name=f"livemef-{spec.name}",
            daemon=True,
        )
        # Ctrl-C reaches the whole process group. The children keep it blocked: the supervisor ends them in order.
        with outside_current_folder():
            resource_tracker.ensure_running()  # left to start(), it would unblock the signal again
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                child.process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        child.pipe, child.ready, child.fault = ours, False, ""
        child.started = child.last_heard = self._clock()

    def _hear(self, child: Child) -> None:
        try:
            while child.pipe is not None and child.pipe.poll():
                self._note(child, child.pipe.recv())
        except (EOFError, OSError):
            self._hang_up(child)

    def _note(self, child: Child, report: Report) -> None:
        child.last_heard = self._clock()
        if report.kind == "ready":
            child.ready = child.ever_ready = True
            child.described = dict(report.values)
            return
        if report.kind in ("failed", "crashed"):
            child.fault, child.last_words = report.kind, report.message
            child.described["traceback"] = report.values.get("traceback", "")
            return
        child.finished = report.kind == "finished"
        child.values = dict(report.values)

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
        for key, value in child.values.items():
            if isinstance(value, int) and not isinstance(value, bool) and not child.finished:
                child.totals[key] = child.totals.get(key, 0) + value
        if child.finished:
            return
        child.values = {}
        reason = child.last_words if child.fault else _how_it_died(exit_code)
        if not child.ever_ready and (child.fault or (exit_code or 0) > 0):
            raise StartFailed(reason, child.fault == "failed")
        child.failures = self._policy.failures(child.failures, self._clock() - child.started)
        wait_s = self._policy.wait_s(child.failures)
        child.start_at = self._clock() + wait_s
        child.last_words = reason
        when = f" in {wait_s:.1f} s" if wait_s else ""
        _LOG.warning("%s: %s; starting it again%s", child.spec.name, reason, when)

    def _kill_if_hung(self, child: Child) -> None:
        if child.process is None or not self._policy.is_hung(self._clock() - child.last_heard, child.ready):
            return
        _LOG.warning("%s: no sign of life for %.0f s; ending it", child.spec.name, self._clock() - child.last_heard)
        child.last_heard = self._clock()
        child.process.kill()

    def _hang_up(self, child: Child) -> None:
        if child.pipe is not None:
            child.pipe.close()
        child.pipe = None

    def stop(self) -> None:
        """Ask all children to end, give them a moment, hear their last counters, kill who is left."""
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


def _child_main(level: str, name: str, target: Callable[..., None], *arguments: Any) -> None:
    """Main function of every child process: prints its log records as the supervisor does, with its name before."""
    set_up_logging(level, f"{name}: ")
    target(*arguments)


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


def counters(children: Mapping[str, Child], keys: Mapping[str, str]) -> dict[str, int]:
    """Counters over all lives: `keys` maps a counter to the child that keeps it."""
    return {key: children[name].count(key) for key, name in keys.items() if name in children}
