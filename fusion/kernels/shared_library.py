"""The compiled loops (kernels/*.c) as a library for ctypes: found, and given pictures. Calls run without the GIL."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import Structure, c_int32, c_ssize_t, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from livemef.engine.processor import built, check_sources


class Picture(Structure):
    """See kernels/rows.h."""

    _fields_ = [
        ("pixels", c_void_p),
        ("stride", c_ssize_t),
        ("height", c_int32),
        ("width", c_int32),
        ("bytes_per_sample", c_int32),
    ]


@lru_cache(maxsize=1)
def _found() -> ctypes.CDLL | None:
    path = built(Path(__file__).parents[1], "_pixels")
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    check_sources(library, Path(__file__).parent)
    return library


def compiled() -> bool:
    """Whether the compiled loops are there (they are built at installation where a C compiler is)."""
    return _found() is not None


def library() -> ctypes.CDLL:
    """The compiled loops. Raises RuntimeError where they are not built."""
    found = _found()
    if found is None:
        raise RuntimeError("the compiled pixel loops are not built")
    return found


def check(failed: int) -> None:
    """Raise MemoryError if a call has failed: they fail of nothing else."""
    if failed:
        raise MemoryError("the pixel loops could not allocate their row buffers")


_byte: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer


def address(array: NDArray[Any]) -> int:
    """Of an array's memory, which the caller keeps alive. A quarter of the time of `ctypes.data` for most arrays."""
    try:
        return ctypes.addressof(_byte(array))
    except (TypeError, ValueError):  # read-only, empty, or with gaps
        return int(array.ctypes.data)


def codes_of(pixels: NDArray[Any]) -> int:
    """How many codes there are: 256 or 65536."""
    return 1 << 8 * pixels.itemsize


def picture_of(pixels: NDArray[Any]) -> Picture:
    """A picture (H x W x 3); rows may be padded. Raises ValueError where the pixels of a row are not."""
    (height, width, _), (row, pixel, sample), size = pixels.shape, pixels.strides, pixels.itemsize
    if sample != size or pixel != 3 * size or not pixels.flags.aligned:
        raise ValueError("pixels must be packed within a row")
    return Picture(address(pixels), row, height, width, size)
