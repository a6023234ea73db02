"""Lets the C library keep memory that was freed, for the next bracket's planes."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""

LARGEST_KEPT = 8 << 20
"""Bytes of an allocation that is kept: planes are smaller, pictures of many megapixels are larger and live long."""

MOST_KEPT = 64 << 20


def keep_freed_memory() -> None:
    """Keep up to MOST_KEPT bytes for this process, where its C library can do that (glibc).

    Otherwise each bracket gives megabytes back and asks for them again: the kernel clears them, and interrupts the
    other cores to tell them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, MOST_KEPT)
