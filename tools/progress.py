"""The progress bar of the verbs: on the standard error, and only where that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar() -> Progress:
    """A bar that counts. Use it as a context manager and add a task to it."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # What is printed goes through the bar only if it is for the same terminal, never if it is for a pipe or a file.
        redirect_stdout=sys.stdout.isatty(),
    )


def now_and_then(period_s: float = 5.0) -> Callable[[str], None]:
    """A listener for what takes minutes: of the lines that it hears it says one every `period_s`, the first at once."""
    said = float("-inf")

    def told(line: str) -> None:
        nonlocal said
        now = time.monotonic()
        if now >= said + period_s:
            said = now
            print(f"livemef: {line}", file=sys.stderr, flush=True)

    return told
