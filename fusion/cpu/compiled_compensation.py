"""What makes one exposure of another's moment (kernels/motion.c, compensation.c), compiled, from Python."""

from __future__ import annotations

from ctypes import CDLL, POINTER, Structure, byref, c_double, c_float, c_int, c_int32, c_void_p
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.cpu.compiled_evidence import Clipping, Tinting, clipping, fill_shape, tinting
from livemef.fusion.cpu.compiled_stream import cells_of
from livemef.fusion.kernels.shared_library import Picture, address, check, codes_of, library, picture_of
from livemef.fusion.motion import dim_colour, registration, saturation_fill
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.ghost_mask import Grid
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.intensity_mapping import KNOTS
from livemef.fusion.motion.loops import ComposedLoops
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.views import View


class CompensationCall(Structure):
    """See `Compensation` in kernels/motion.h."""

    _fields_ = [
        ("reference", Picture),
        ("other", Picture),
        ("table", c_void_p),
        ("codes", c_int32),
        ("mask", c_void_p),
        ("grid_height", c_int32),
        ("grid_width", c_int32),
        ("across", c_void_p),
        ("down", c_void_p),
        ("fill", c_void_p),
        ("fill_height", c_int32),
        ("fill_width", c_int32),
        ("clip_start", c_float),
        ("clip_scale", c_float),
        ("least_fill", c_float),
        ("like", c_float),
        ("tinted", c_int32),
        ("dim", c_float),
        ("dim_scale", c_float),
        ("white", c_float),
        ("grain", c_float),
        ("faint", c_float),
    ]


class _Replacement(Structure):
    _fields_ = [
        ("call", CompensationCall),
        ("clipping", Clipping),
        ("tinting", Tinting),
        ("curves", c_void_p),
        ("brighter", c_void_p),
        ("mask", c_void_p),
        ("fill", c_void_p),
        ("small", c_void_p),
        ("grid", c_void_p),
        ("small_there", c_void_p),
        ("move", c_double * 3),
        ("seen", c_double),
        ("black", c_float),
        ("any", c_int32),
        ("filled", c_int32),
    ]


def declare_compensation(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    loops.remake_means.argtypes = [c_void_p, POINTER(CompensationCall), c_int32, c_void_p]
    loops.remake_means.restype = c_int
    loops.prepare_codes.argtypes = [POINTER(CompensationCall), c_void_p, c_int32, *[c_void_p] * 3]
    loops.prepare_codes.restype = None
    loops.compensate.argtypes = [c_void_p, POINTER(_Replacement)]
    loops.compensate.restype = c_int


class CompiledCompensation(ComposedLoops):
    """The GridLoops that make an exposure anew, compiled."""

    _grids: CDLL
    _pool: int | None

    def remade(self, reference: Grid, there: Grid, todo: Compensation, small: Grid) -> Grid:
        """See GridLoops."""
        result, call = small.copy(), _grid_call(there, reference, todo)
        check(self._grids.remake_means(self._pool, byref(call), len(there) // len(small), address(result)))
        return result

    def compensated(
        self, reference: View, there: View, todo: Compensation, move: Move, over_is_reference: bool, whole: bool
    ) -> tuple[Compensation, View]:
        """See ComposedLoops."""
        cells, shape = cells_of(there), fill_shape(there.small.shape)
        if not cells or shape is None:
            loops = cast(GridLoops, self)
            return ComposedLoops.compensated(loops, reference, there, todo, move, over_is_reference, whole)
        seen, own = (View(_floats(view.grid), _floats(view.small)) for view in (reference, there))
        room = np.empty(shape if over_is_reference else own.small.shape, np.float32)
        made = View(np.empty_like(own.grid) if whole else there.grid, np.empty_like(own.small))
        brighter = seen.grid if over_is_reference else own.grid
        call = _Replacement(
            _call(picture_of(seen.grid), picture_of(own.grid), todo, 1, not over_is_reference, room.shape),
            clipping(seen.small, own.small, todo.mask, shape, todo.clips_at),
            tinting(None, todo.clear),
            *(address(array) for array in (todo.curves, brighter, todo.mask, room, made.small)),
            address(made.grid) if whole else None,
            address(own.small),
            (move.dx, move.dy, move.turn),
            registration.SEEN,
            registration.BLACK,
        )
        check(self._grids.compensate(self._pool, byref(call)))
        if not call.any:
            return todo, there
        found = room if call.filled else None
        fill, tints = (found, None) if over_is_reference else (None, found)
        rest = todo.clear, todo.grain, todo.clips_at
        return Compensation(todo.move, todo.mask, todo.curves, fill, tints, *rest), made


def compensation_call(other: Pixels, reference: Pixels, todo: Compensation) -> CompensationCall:
    """Of pictures in codes, with the arrays it points into kept."""
    codes, (height, width) = codes_of(other), other.shape[:2]
    fill = todo.tints if todo.fill is None else todo.fill
    shape = (0, 0) if fill is None else fill.shape
    call = _call(picture_of(reference), picture_of(other), todo, codes - 1, todo.fill is None, shape)
    call.codes = codes
    room = np.empty(3 * codes + height + width + 3 * shape[0] * shape[1], np.float32)
    offsets = None
    if todo.move != NO_MOVE:
        across, down = todo.move.offsets(height, width)
        offsets = (c_double * 4)(*across, *down)
    curves, fill = np.ascontiguousarray(todo.curves, np.float64), None if fill is None else _floats(fill)
    data = address(curves), KNOTS, offsets, None if fill is None else address(fill), address(room)
    library().prepare_codes(byref(call), *data)
    call.arrays = room, todo
    return call


def _grid_call(other: Grid, reference: Grid, todo: Compensation) -> CompensationCall:
    """The same of grids, the other one without its move."""
    fill = todo.tints if todo.fill is None else todo.fill
    shape = (0, 0) if fill is None else fill.shape
    call = _call(picture_of(reference), picture_of(other), todo, 1, todo.fill is None, shape)
    table, fill = _floats(todo.curves), None if fill is None else _floats(fill)
    call.table, call.fill, call.arrays = address(table), None if fill is None else address(fill), (table, fill, todo)
    return call


def _call(
    reference: Picture, other: Picture, todo: Compensation, top: int, tinted: bool, fill: tuple[int, ...]
) -> CompensationCall:
    """Without its table, fill and move. top: the highest code; fill: its shape. Points into the mask of `todo`."""
    white, clear = top * todo.clips_at, todo.clear
    start, end = white * saturation_fill.CLIP_START, white * saturation_fill.CLIP_END
    least, like = top * saturation_fill.LEAST_FILL, saturation_fill.LIKE
    dim = top * dim_colour.DIM_PART * clear, 1 / (top * (1 - dim_colour.DIM_PART) * clear)
    grain, faint = dim_colour.square_of(todo.grain) * top**2, dim_colour.FAINT * top
    mask = address(todo.mask), *todo.mask.shape
    rules = start, 1 / (end - start), least, like, tinted, *dim, top, grain, faint
    return CompensationCall(reference, other, None, KNOTS + 1, *mask, None, None, None, *fill[:2], *rules)


def _floats(plane: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(plane, np.float32)
