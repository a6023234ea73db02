"""How a run ends: which exit code, and which one line on the terminal. Nothing else decides either."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

from livemef.errors import LivemefError

DONE = 0
OUR_BUG = 1
SURROUNDINGS = 2
INTERRUPTED = 130


class UserError(LivemefError):
    """What a person typed or configured is wrong. One line: what, where, what to do."""


EXPECTED: tuple[type[Exception], ...] = (LivemefError,)
SYSTEM_LIMITS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}
EXTRAS = {
    "torch": "train",
    "onnx": "train",
    "tensorboard": "train",
    "aiohttp": "web",
    "prometheus_client": "web",
    "linuxpy": "v4l2",
    "picamera2": "picamera",
    "pycuda": "cuda",
}
"""Optional packages, and the extra of livemef that brings each."""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for an exception that reached the top of a verb."""
    if isinstance(error, EXPECTED):
        return SURROUNDINGS, _one_line(str(error))
    if isinstance(error, OSError) and (error.filename or error.errno in SYSTEM_LIMITS):
        place = f": {error.filename}" if error.filename else ""
        return SURROUNDINGS, f"{_one_line(error.strerror or str(error))}{place}"
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return SURROUNDINGS, f"this needs the package {error.name}: pip install 'livemef[{EXTRAS[error.name]}]'"
    if isinstance(error, MemoryError):
        return SURROUNDINGS, "not enough memory for this; use smaller pictures or close other programs"
    usage = getattr(error, "format_message", None)  # typer's usage errors; their class is private to typer
    if callable(usage):
        return SURROUNDINGS, _one_line(str(usage()))
    if type(error).__name__ == "Abort":
        return INTERRUPTED, "interrupted"
    name = type(error).__name__
    return OUR_BUG, f"this is a bug in livemef ({name}: {_one_line(str(error))}); --debug shows where"


def _silence_streams() -> None:
    # The reader of our output has gone. Python would complain once more while flushing at exit.
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, sys.stdout.fileno())
    os.close(void)


def finish(call: Callable[[], object], debug: bool) -> int:
    """Run a verb to its end and return the exit code; every failure becomes one line on the standard error."""
    try:
        code = call()
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except BrokenPipeError:
        _silence_streams()
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # typer turns it into an exit of its own
            _silence_streams()
            return DONE
        return leaving.code if isinstance(leaving.code, int) else OUR_BUG
    except BaseException as error:
        code, line = explain(error)
        if debug:
            traceback.print_exc()
        if line:
            print(f"livemef: {line}", file=sys.stderr)
        return code
