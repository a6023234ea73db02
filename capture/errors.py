"""What can be wrong outside livemef, and how it is told apart from livemef's own bugs."""

from __future__ import annotations

import errno
import os

from livemef.errors import LivemefError

_LIMITS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.EIO,
}


class CaptureError(LivemefError):
    """A camera, a file or a setting is wrong. The message is one line: what, where, what to do."""


class CameraStalled(CaptureError):
    """No frame arrived within the time limit."""


class EndOfStream(CaptureError):
    """A finite source (a recording, a folder) has delivered its last frame."""


_LACK_OF_MEMORY = (
    "Insufficient memory",  # OpenCV
    "failed to map segment from shared object",  # the dynamic loader
    "std::bad_alloc",
    "can't start new thread",  # its stack does not fit, or the number of threads is limited
)


def _is_lack_of_memory(error: BaseException) -> bool:
    """Libraries say it in words of their own, as errors of other kinds."""
    return isinstance(error, Exception) and any(words in str(error) for words in _LACK_OF_MEMORY)


def fault_of_surroundings(error: BaseException) -> str | None:
    """One line for an error of the system that is no bug of livemef: rights, space, memory, limits; else None."""
    if isinstance(error, MemoryError) or _is_lack_of_memory(error):
        return "not enough memory for this; use smaller pictures, close other programs, or raise the limit (ulimit -v)"
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):  # of tempfile
        return "no folder for temporary files can be written: is the disk full? make room, or set TMPDIR to another one"
    if not isinstance(error, OSError) or not (error.filename or error.errno in _LIMITS):
        return None
    hint = "; raise the limit on open files (ulimit -n)" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    place = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
    return f"{error.strerror or error}{place}{hint}"
