"""Progress of what takes long, on the standard error: a bar where that is a terminal, or a line now and then."""

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


def progress_printer(period_s: float = 5.0) -> Callable[[str], None]:
    """An `on_progress` callback that prints: the first line at once, then at most one line every `period_s` seconds."""
    printed = float("-inf")

    def on_progress(line: str) -> None:
        nonlocal printed
        now = time.monotonic()
        if now >= printed + period_s:
            printed = now
            print(f"livemef: {line}", file=sys.stderr, flush=True)

    return on_progress
