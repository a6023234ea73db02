"""The compiled loops over the rows of large pictures (kernels/passes.c) from Python."""

from __future__ import annotations

from ctypes import CDLL, POINTER, Structure, byref, c_int, c_int32, c_ssize_t, c_void_p
from dataclasses import dataclass
from typing import Any

from livemef.fusion.cpu.strips import LEAST_ROWS, PARTS
from livemef.fusion.kernels.shared_library import check

SHRINK, LIGHTNESS, FUSE, QUICK_FUSE, REMAKE = range(5)
"""In the order of kernels/passes.c."""


class Pass(Structure):
    """See kernels/passes.c."""

    _fields_ = [
        ("kind", c_int32),
        ("rows", c_int32),
        ("least", c_int32),
        ("constants", c_void_p),
        ("tables", c_void_p),
        ("source", c_void_p),
        ("out", c_void_p),
        ("stride", c_ssize_t),
        ("height", c_int32),
        ("width", c_int32),
        ("tone", c_int32),
        ("failed", c_int32),
    ]


def declare_passes(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    loops.run_pass.argtypes = [c_void_p, POINTER(Pass)]
    loops.run_pass.restype = c_int
    loops.run_members.argtypes = [c_void_p, c_void_p, c_void_p, c_int32]
    loops.run_members.restype = None
    loops.run_rows.argtypes = [POINTER(Pass), c_int32, c_int32]
    loops.run_rows.restype = c_int


@dataclass(frozen=True)
class CompiledRows:
    """Rows (see PixelLoops) of a pass. kept: what it points into. Raises MemoryError."""

    loops: CDLL
    made: Pass
    kept: Any

    def __call__(self, top: int, bottom: int) -> None:
        """Do rows top..bottom (exclusive)."""
        check(self.loops.run_rows(byref(self.made), top, bottom))

    def all(self, pool: int | None, threads: int) -> None:
        """Do all rows on the threads of a pool; so many with the caller's."""
        self.made.least = min(LEAST_ROWS, self.made.rows) if self.made.kind != SHRINK else 2
        self.made.least = max(self.made.least, self.made.rows // (PARTS * threads))
        check(self.loops.run_pass(pool, byref(self.made)))
