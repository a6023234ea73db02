"""Exit codes, and the one line that is printed for each failure."""

from __future__ import annotations

import sys
import traceback
import unicodedata
from collections.abc import Callable

from livemef.capture.errors import fault_of_surroundings
from livemef.errors import LivemefError
from livemef.tools.remedies import as_typed_here
from livemef.tools.streams import complain, make_sound, silence

DONE = 0
OUR_BUG = 1
SURROUNDINGS = 2
INTERRUPTED = 130


class UserError(LivemefError):
    """Input or configuration is wrong. The message is one line: what is wrong, where, what to do."""


EXPECTED: tuple[type[Exception], ...] = (LivemefError,)
EXTRAS = {
    "av": "video",
    "bagit": "field",
    "torch": "train",
    "foxglove": "foxglove",
    "onnx": "train",
    "tensorboard": "train",
    "aiohttp": "web",
    "prometheus_client": "web",
    "linuxpy": "v4l2",
    "picamera2": "picamera",
    "pycuda": "cuda",
    "rawpy": "raw",
    "imagecodecs": "formats",
    "pillow_heif": "formats",
}
"""Extra of livemef that installs each optional package."""


def printable(text: str) -> str:
    """The text with those bytes of a file name that are not UTF-8 written as \\xNN, so that it can be printed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """Text for people: control characters of a file name, which could steer the terminal, are written as \\xNN."""
    return "".join(
        c if unicodedata.category(c) != "Cc" else c.encode("unicode_escape").decode() for c in printable(text)
    )


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for an exception that reached the top of a verb."""
    if isinstance(error, EXPECTED):
        return SURROUNDINGS, _one_line(str(error))
    surroundings = fault_of_surroundings(error)
    if surroundings is not None:
        return SURROUNDINGS, _one_line(surroundings)
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return SURROUNDINGS, f"this needs the package {error.name}: pip install 'livemef[{EXTRAS[error.name]}]'"
    usage = getattr(error, "format_message", None)  # typer's usage errors; their class is private to typer
    if callable(usage):
        return SURROUNDINGS, _one_line(str(usage()))
    if type(error).__name__ == "Abort":
        return INTERRUPTED, "interrupted"
    name = type(error).__name__
    return OUR_BUG, f"this is a bug in livemef ({name}: {_one_line(str(error))}); --debug shows where"


def finish(call: Callable[[], object], debug: bool) -> int:
    """Run a verb to its end and return the exit code; every failure becomes one line on the standard error."""
    make_sound()
    try:
        code = call()
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else DONE
    except BrokenPipeError:
        silence()
        return DONE
    except KeyboardInterrupt:
        complain("livemef: interrupted")
        return INTERRUPTED
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # typer turns it into an exit of its own
            silence()
            return DONE
        return leaving.code if isinstance(leaving.code, int) else OUR_BUG
    except BaseException as error:
        return _failed(error, debug)


def _failed(error: BaseException, debug: bool) -> int:
    code, line = explain(error)
    if isinstance(error, OSError):
        silence()
    if debug:
        complain(traceback.format_exc().rstrip())
    if line:
        complain(f"livemef: {as_typed_here(line)}")
    return code
