"""Leases of slots in shared memory: a reader's lock keeps a picture from being written over while it is used.

The locks are those of open file descriptions (fcntl(2), F_OFD_SETLK) on the first byte of a slot: a reader has its own
description of the memory and takes read locks, the publisher takes a write lock for as long as a slot may be written.
Nobody waits for a lock, one that cannot be had is done without. The kernel takes back the locks of a process that has
ended, however that was.
"""

from __future__ import annotations

import fcntl
import os
import struct

_FLOCK = struct.Struct("@hhqqi4x")
"""struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid."""

_SET = getattr(fcntl, "F_OFD_SETLK", None)
_GET = getattr(fcntl, "F_OFD_GETLK", None)


def lock_to_read(fd: int, at: int) -> bool:
    """Take a read lock on byte `at`; False where somebody writes, or where there are no such locks. Never waits."""
    return _set(fd, fcntl.F_RDLCK, at)


def lock_to_write(fd: int, at: int) -> bool:
    """The write lock likewise; False also where somebody reads."""
    return _set(fd, fcntl.F_WRLCK, at)


def unlock(fd: int, at: int) -> None:
    """Give back one's lock on byte `at`, if there is one."""
    _set(fd, fcntl.F_UNLCK, at)


def is_locked(fd: int, at: int) -> bool:
    """Whether others have a lock on byte `at`."""
    if _GET is None:
        return False
    try:
        found = fcntl.fcntl(fd, _GET, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0))
    except OSError:
        return False
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _set(fd: int, kind: int, at: int) -> bool:
    if _SET is None:
        return False
    try:
        fcntl.fcntl(fd, _SET, _FLOCK.pack(kind, os.SEEK_SET, at, 1, 0))
    except OSError:  # somebody else has it, or this kind of lock is not to be had here
        return False
    return True
