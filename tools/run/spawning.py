"""Starting a child process, whose signals, output and imports do not depend on how livemef was started."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from livemef.tools.logs import log_level, set_up_logging
from livemef.tools.safe_start import outside_current_folder, run_in_folder

SPAWN = multiprocessing.get_context("spawn")
GROUP_SIGNALS = {signal.SIGINT, signal.SIGHUP}
MOST_OUTPUT = 1 << 16
OUTPUT_BYTES = 1 << 20
"""Of a child's output, kept while the supervisor is stopped; beyond that whoever prints waits."""


@dataclass(frozen=True)
class ChildSpec:
    """A process of the pipeline: runs `target(pipe, parent_pid, *arguments())`; targets are importable functions."""

    name: str
    target: Callable[..., None]
    arguments: Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class Started:
    """A process with our ends of its pipes: for messages, and what it writes on its standard output and error."""

    process: SpawnProcess
    pipe: Connection
    output: Connection


def start(spec: ChildSpec) -> Started:
    """Start a child. Raises OSError where the system has no process, memory or file left for it."""
    ours, theirs = SPAWN.Pipe()
    output, written = SPAWN.Pipe(duplex=False)
    with suppress(OSError):  # where this user may have no more, it stays at 64 KiB
        fcntl.fcntl(written.fileno(), fcntl.F_SETPIPE_SZ, OUTPUT_BYTES)
    arguments = (theirs, os.getpid(), *spec.arguments())
    process = SPAWN.Process(
        target=_child_main,
        args=(written, _current_folder(), log_level(), spec.name, spec.target, *arguments),
        name=f"livemef-{spec.name}",
        daemon=True,
    )
    try:
        _start_shielded(process)
    except BaseException:
        close(ours, output)
        raise
    finally:
        close(theirs, written)
    return Started(process, ours, output)


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


def read_output(pipe: Connection | None) -> str:
    """What has been written so far; "" = nothing. Raises EOFError when nobody can write any more."""
    if pipe is None or not pipe.poll():
        return ""
    data = os.read(pipe.fileno(), MOST_OUTPUT)
    if not data:
        raise EOFError
    return data.decode("utf-8", "backslashreplace")


def close(*pipes: Connection | None) -> None:
    """Close those that are there."""
    for pipe in pipes:
        if pipe is not None:
            pipe.close()


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # deleted since; relative paths mean nothing there
        return "/"
