"""What a watched process owes its supervisor: signs of life, and an end that leaves nothing behind.

Used by the capture process, the fusion process and the preview; the supervisor is the other end of the pipe.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
BEAT_PERIOD_S = 0.2


@dataclass(frozen=True)
class Report:
    """One message from a child. `kind`: "ready", "beat", "failed" (surroundings), "crashed" (our bug) or "finished"."""

    kind: str
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


class Lifeline:
    """The child's end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._last_beat = 0.0
        self._stopping = False
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _on_terminate(self, signum: int, frame: object) -> None:
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """True once the supervisor asked for the end, or is gone."""
        try:
            if not self._stopping and self._pipe.poll():
                self._pipe.recv()
                self._stopping = True
        except (EOFError, OSError):
            self._stopping = True
        return self._stopping

    def ready(self, **values: Any) -> None:
        """Say, once, that work has begun; `values` describe what was opened."""
        self._send(Report("ready", values=values))

    def beat(self, **values: Any) -> None:
        """Say that the main loop turns. Call it every turn: it sends five times a second at most."""
        now = time.monotonic()
        if now - self._last_beat >= BEAT_PERIOD_S:
            self._last_beat = now
            self._send(Report("beat", values=values))

    def finish(self, kind: str, message: str = "", **values: Any) -> None:
        """Say, last, how it ended."""
        self._send(Report(kind, message, values))

    def _send(self, report: Report) -> None:
        try:
            self._pipe.send(report)
        except OSError:
            self._stopping = True


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent dies, however that happens (Linux prctl(2))."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
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
        lifeline.finish("crashed", f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
        sys.exit(1)
    lifeline.finish("finished", **values)
