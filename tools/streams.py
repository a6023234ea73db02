"""Standard input, output and error as they may be found: closed, full, or in an encoding that lacks most letters."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def make_sound() -> None:
    """Whatever the shell has handed us: printing never fails for want of a stream or of a letter.

    A descriptor that is closed is put on /dev/null: else the next file that is opened would be standard output. A
    character that the encoding lacks is escaped.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence() -> None:
    """Nothing more can be written on standard output, and Python shall not try again when it exits."""
    with suppress(OSError, ValueError):
        void = os.open(os.devnull, os.O_WRONLY)
        os.dup2(void, sys.stdout.fileno())
        os.close(void)


def interrupt_on_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt: a shell starts background jobs with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def complain(line: str) -> None:
    """A line on standard error; lost where that is full or gone."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
