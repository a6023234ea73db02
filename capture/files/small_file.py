"""Small files that a person names (settings, profiles, keys): read whole, within bounded time and memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_NOT_REGULAR = "is a pipe or a device, not a regular file"


def read_small_file(path: Path, limit_bytes: int) -> bytes:
    """The bytes of a regular file. Raises OSError, whose `strerror` is fit for people.

    A pipe would be waited for without end, and a device such as /dev/zero has no end: both are refused.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # non-blocking: to open a pipe would wait
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, _NOT_REGULAR, str(path))
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise OSError(errno.EFBIG, f"larger than {_in_words(limit_bytes)}; is this the right file?", str(path))
    return data


def _in_words(limit_bytes: int) -> str:
    return f"{limit_bytes >> 20} MiB" if limit_bytes >= 1 << 20 else f"{limit_bytes >> 10} KiB"
