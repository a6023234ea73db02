"""What a watched process owes its supervisor: signs of life, and an end that leaves nothing behind.

Used by the capture process, the fusion process and the preview; the supervisor is the other end of the pipe. A process
never waits for its supervisor: a heartbeat that cannot be sent at once is dropped.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from livemef.capture.errors import fault_of_surroundings

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
BEAT_PERIOD_S = 0.5
LAST_REPORT_S = 1.0
"""How long the last report may wait for room in the pipe. Nobody counts on it if the supervisor is stopped."""

LONGEST_TEXT = 4000
"""Characters of a message or traceback. (A report below 16 kB is one write, so it arrives whole or not at all.)"""

OPENING_LIMIT_S = 300.0
"""Heartbeats go on for so long while something opens; after that the process counts as hung."""


STOP = "stop"
"""The supervisor's message that asks a child to end."""


@dataclass(frozen=True)
class Command:
    """A message from the supervisor to a child, beside STOP. number: of the answer that is expected, 0 = none."""

    number: int
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """One message from a child. `kind`: "ready", "beat", "failed" (surroundings), "crashed" (our bug), "finished";
    "answer" (to a Command: `number`, `refused` and what else the command returns), "ask" (a request of its own).
    """

    kind: str
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""


class Lifeline:
    """The child's end of the pipe. `beat` may be called from any thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._news = select.poll()  # kept: the pipe's own poll makes a selector at each call, and every turn asks twice
        self._news.register(pipe.fileno(), select.POLLIN)
        self._sending = threading.Lock()
        self._values: dict[str, Any] = {}
        self._last_beat = 0.0
        self._stopping = False
        self._commands: deque[Command] = deque()
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _on_terminate(self, signum: int, frame: object) -> None:
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """True once the supervisor asked for the end, or is gone."""
        self._take_in()
        return self._stopping

    def commands(self) -> list[Command]:
        """What the supervisor has asked for since the last call, in order. Each with a number is to be answered."""
        self._take_in()
        taken = list(self._commands)
        self._commands.clear()
        return taken

    def fileno(self) -> int:
        """The pipe's file descriptor, readable when the supervisor has sent something."""
        return self._pipe.fileno()

    def answer(self, command: Command, refused: str = "", **values: Any) -> None:
        """Answer a command. refused: why it was not obeyed, in one line."""
        if command.number:
            values |= {"number": command.number, "refused": refused[:LONGEST_TEXT]}
            self._send(Report("answer", values=values), LAST_REPORT_S)

    def ask(self, **values: Any) -> None:
        """Ask the supervisor for something. What comes of it is a Command."""
        self._send(Report("ask", values=values), LAST_REPORT_S)

    def _take_in(self) -> None:
        try:
            while not self._stopping and self._news.poll(0):
                message = self._pipe.recv()
                if isinstance(message, Command):
                    self._commands.append(message)
                else:
                    self._stopping = True
        except (EOFError, OSError):
            self._stopping = True

    def ready(self, **values: Any) -> None:
        """Say, once, that work has begun; `values` describe what was opened.

        What was loaded until then stays: garbage collections need not look at it again (20 ms each on two cores).
        """
        gc.freeze()
        self._send(Report("ready", values=values), LAST_REPORT_S)

    @property
    def beat_due(self) -> bool:
        """Whether `beat` would send now: for whoever finds its values at some cost."""
        return time.monotonic() - self._last_beat >= BEAT_PERIOD_S

    def beat(self, **values: Any) -> None:
        """Sign of life from the main loop, with news of some values; the others stay as they were.

        Call it every turn: it sends twice a second at most, and never waits.
        """
        self._values.update(values)
        if self.beat_due:
            self.beat_now()

    def beat_now(self, **values: Any) -> None:
        """The same, sent at once: for what the supervisor must know before anything comes of it."""
        self._values.update(values)
        self._last_beat = time.monotonic()
        self._send(Report("beat", values=dict(self._values)), 0.0)

    @contextmanager
    def opening(self, state: str, limit_s: float = OPENING_LIMIT_S) -> Iterator[None]:
        """Heartbeats from a thread while the body opens something slow that cannot beat itself, for `limit_s` at most.

        `state` is what the heartbeats say meanwhile.
        """
        done = threading.Event()

        def beat() -> None:
            end = time.monotonic() + limit_s
            while time.monotonic() < end and not done.wait(BEAT_PERIOD_S):
                self.beat(state=state)

        thread = threading.Thread(target=beat, name="opening", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def finish(self, kind: str, message: str = "", trace: str = "", **values: Any) -> None:
        """Say, last, how it ended, with the values of all beats."""
        report = Report(kind, message[:LONGEST_TEXT], self._values | values, trace[-LONGEST_TEXT:])
        self._send(report, LAST_REPORT_S)

    def _send(self, report: Report, timeout_s: float) -> None:
        with self._sending:
            try:
                send_if_room(self._pipe, report, timeout_s)
            except OSError:
                self._stopping = True


def send_if_room(pipe: Connection, message: object, timeout_s: float) -> bool:
    """Send a small message if that can be done without waiting, within `timeout_s`; returns whether it was sent.

    A Unix socket polls as writable while 3/4 of its buffer is free. Raises OSError if nobody is at the other end.
    """
    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLOUT)
    if not poll.poll(timeout_s * 1000):
        return False
    pipe.send(message)
    return True


def die_with_parent(parent_pid: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when its parent dies, however that happens (Linux prctl(2))."""
    _prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent_pid:  # it died before the line above
        os._exit(1)


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def run_child(
    pipe: Connection,
    parent_pid: int,
    expected: tuple[type[Exception], ...],
    body: Callable[[Lifeline], Mapping[str, Any]],
) -> None:
    """Run `body` as a watched process; it returns its last counters. `expected` are faults of the surroundings."""
    die_with_parent(parent_pid)
    _prctl(PR_SET_NAME, multiprocessing.current_process().name.encode())  # what ps and top show
    lifeline = Lifeline(pipe)
    try:
        values = body(lifeline)
    except expected as error:
        lifeline.finish("failed", str(error))
        sys.exit(2)
    except Exception as error:
        surroundings = fault_of_surroundings(error)
        if surroundings is not None:
            lifeline.finish("failed", surroundings, traceback.format_exc())
            sys.exit(2)
        lifeline.finish("crashed", f"{type(error).__name__}: {error}", traceback.format_exc())
        sys.exit(1)
    lifeline.finish("finished", **values)
