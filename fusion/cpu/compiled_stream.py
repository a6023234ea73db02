"""The compiled loops over a new frame of a stream (kernels/stream.c), several in a call, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, addressof, byref, c_double, c_float, c_int, c_int32, c_void_p
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import LUMA_WEIGHTS
from livemef.fusion.cpu.compiled_cycle import addresses
from livemef.fusion.cpu.compiled_maps import Curves, curves_of
from livemef.fusion.kernels.shared_library import address, check
from livemef.fusion.motion import blinking, ghost_mask, intensity_mapping, registration, temporal_noise
from livemef.fusion.motion.ghost_mask import LEVELS, Allowed, Grid
from livemef.fusion.motion.grid_loops import GridLoops
from livemef.fusion.motion.intensity_mapping import KNOTS, ChannelMaps, Curve, ExposureMap
from livemef.fusion.motion.loops import ComposedLoops
from livemef.fusion.motion.registration import NO_MOVE, Move
from livemef.fusion.motion.views import Changed, Difference, Former, Observed, View

LUMA = (c_float * 3)(*LUMA_WEIGHTS)
_Move = c_double * 3


class Search(Structure):
    """See kernels/grids.h."""

    _fields_ = [
        ("ceiling", c_float),
        ("tolerance", c_float),
        ("enough", c_double),
        ("gain", c_double),
        ("least_seen", c_double),
        ("regular", c_double),
        ("tells", c_double),
        ("steps", c_int32),
        ("smallest_side", c_int32),
        ("blocks", c_int32),
        ("helped", c_int32),
        ("helped_of", c_int32),
    ]


SEARCH = Search(
    ceiling=registration.CEILING,
    tolerance=registration.ROBUST**-2,
    enough=registration.ENOUGH,
    gain=registration.GAIN,
    least_seen=registration.LEAST_SEEN,
    regular=registration.REGULAR,
    tells=registration.TELLS,
    steps=registration.STEPS,
    smallest_side=registration.SMALLEST_SIDE,
    blocks=registration.BLOCKS,
    helped=registration.HELPED,
    helped_of=registration.HELPED_OF,
)


class AllowedCall(Structure):
    """See `Allowed` in kernels/grids.h."""

    _fields_ = [
        ("levels", c_void_p),
        ("knots", c_int32),
        ("contrast_part", c_float),
        ("sure", c_float),
        ("certain", c_float),
        ("clips_start", c_float),
        ("clips_scale", c_float),
        ("spoilt", c_float),
    ]


def allowed_call(levels: NDArray[np.float32] | None, spoilt: float, clips_at: float) -> AllowedCall:
    """levels: 3 x KNOTS + 1 x 2, which the caller keeps alive; None: to be set. The rest: see ghost_mask.Allowed."""
    limits = ghost_mask.CONTRAST_PART, ghost_mask.SURE, ghost_mask.CERTAIN
    start, end = clips_at * ghost_mask.CLIPS_START, clips_at * ghost_mask.CLIPS_END
    clips = start, 1 / (end - start)
    return AllowedCall(None if levels is None else address(levels), KNOTS, *limits, *clips, spoilt)


class NoiseCall(Structure):
    """See `Noise` in kernels/grids.h."""

    _fields_ = [
        ("variance", c_void_p),
        ("levels", c_int32),
        ("contrast_part", c_float),
        ("sure", c_float),
        ("certain", c_float),
    ]


def noise_call(variance: NDArray[np.float32]) -> NoiseCall:
    """variance: by level, which the caller keeps alive."""
    limits = ghost_mask.CONTRAST_PART, ghost_mask.CHANGE_SURE, ghost_mask.CHANGE_CERTAIN
    return NoiseCall(address(variance), len(variance), *limits)


class Measure(Structure):
    """See kernels/grids.h."""

    _fields_ = [
        ("brighter", c_void_p),
        ("least", c_void_p),
        ("expected", c_void_p),
        ("noise", c_void_p),
        ("changed", c_void_p),
        ("failed", c_int32),
        ("knots", c_int32),
        ("levels", c_int32),
        ("step", c_int32),
        ("fewest_still", c_int32),
        ("code", c_double),
        ("spread_of_mad", c_double),
        ("still_below", c_double),
    ]


def measure_of(
    curves: Curves, least: NDArray[np.float64], cells: int, found: NDArray[np.float64], changed: int | None
) -> Measure:
    """Of grids of so many cells, and arrays that the caller keeps alive. curves: of the maps, least: 3 x KNOTS + 1;
    found: room for the results, 2 x 3 x KNOTS + 1; changed: address.
    """
    start = address(found)
    data = address(curves), address(least), start, start + found.strides[0], changed, 0
    limits = KNOTS, LEVELS, ghost_mask.sampling_step(cells), ghost_mask.FEWEST_STILL
    return Measure(*data, *limits, ghost_mask.CODE, ghost_mask.SPREAD_OF_MAD, ghost_mask.STILL_BELOW)


class _Alignment(Structure):
    _fields_ = [
        ("search", c_void_p),
        ("reference", c_void_p),
        ("other", c_void_p),
        ("reference_curve", c_void_p),
        ("other_curve", c_void_p),
        ("luma", c_void_p),
        ("grid", c_void_p),
        ("there", c_void_p),
        ("there_small", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("cells", c_int32),
        ("knots", c_int32),
        ("least_move", c_double),
        ("least_turn", c_double),
        ("move", _Move),
    ]


class LightsOut(Structure):
    """See `Lights` in kernels/grids.h."""

    _fields_ = [
        ("moves", c_float),
        ("least_fall", c_float),
        ("alone", c_float),
        ("most_rises", c_float),
        ("most_seen", c_float),
        ("beside", c_int32),
        ("block", c_int32),
        ("blocks", c_int32),
        ("apart", c_int32),
    ]


LIGHTS_OUT = LightsOut(
    ghost_mask.MOVES,
    blinking.LEAST_FALL,
    blinking.ALONE,
    blinking.MOST_RISES,
    blinking.MOST_SEEN,
    blinking.BESIDE,
    blinking.BLOCK,
    blinking.BLOCKS,
    blinking.APART,
)


class _Following(Structure):
    _fields_ = [
        ("of_median", c_double),
        ("first", c_double),
        ("least", c_double),
        ("most", c_double),
        ("falling", c_double),
        ("rising", c_double),
        ("step", c_int32),
        ("fewest", c_int32),
    ]


class _Observation(Structure):
    _fields_ = [
        ("search", c_void_p),
        ("following", c_void_p),
        ("lights", c_void_p),
        ("changing", NoiseCall),
        ("grid", c_void_p),
        ("old", c_void_p),
        ("small", c_void_p),
        ("old_luma", c_void_p),
        ("luma_weights", c_void_p),
        ("noise_before", c_void_p),
        ("own_blinks", c_void_p),
        ("other_changed", c_void_p),
        ("other_blinks", c_void_p),
        ("luma", c_void_p),
        ("noise", c_void_p),
        ("changed", c_void_p),
        ("moved_blinks", c_void_p),
        ("new_blinks", c_void_p),
        ("histogram_before", c_void_p),
        ("histogram", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("cells", c_int32),
        ("knots", c_int32),
        ("noted", c_float),
        ("keep_blinks", c_float),
        ("most_blinking", c_float),
        ("keep_histogram", c_double),
        ("least_move", c_double),
        ("least_turn", c_double),
        ("move", _Move),
    ]


SOFTENING = (c_int32 * 4)(ghost_mask.GAP, ghost_mask.WIDE_GAP, ghost_mask.INSIDE, ghost_mask.WIDER)


class _Difference(Structure):
    _fields_ = [
        ("changed", c_void_p),
        ("blinks", c_void_p),
        ("moves", c_void_p),
        ("under", c_void_p),
        ("over", c_void_p),
        ("measure", c_void_p),
        ("softening", c_void_p),
        ("allowed", c_void_p),
        ("mask", c_void_p),
        ("under_levels", c_void_p),
        ("over_levels", c_void_p),
        ("exposures", c_int32),
        ("height", c_int32),
        ("width", c_int32),
        ("gate_cells", c_int32),
        ("moving", c_float),
        ("any_gate", c_int32),
        ("any_mask", c_int32),
    ]


def declare_stream(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    loops.align.argtypes = [c_void_p, POINTER(_Alignment)]
    loops.observe.argtypes = [c_void_p, POINTER(_Observation)]
    loops.find_difference.argtypes = [c_void_p, POINTER(_Difference)]
    for function in (loops.align, loops.observe, loops.find_difference):
        function.restype = c_int


class CompiledStream(ComposedLoops):
    """The GridLoops that are made of several, compiled: each a call, unless the pictures are very small."""

    _grids: CDLL
    _pool: int | None

    def aligned(
        self, reference: View, other: View, one: ExposureMap, reference_is_over: bool, cell: float
    ) -> tuple[Move, View]:
        """See ComposedLoops."""
        cells = cells_of(other)
        if not cells:
            return ComposedLoops.aligned(cast(GridLoops, self), reference, other, one, reference_is_over, cell)
        smalls, grid = [_floats(view.small) for view in (reference, other)], _floats(other.grid)
        there, small = np.empty_like(grid), np.empty_like(smalls[1])
        curve = _floats(one.brighter)
        curves = (None, address(curve)) if reference_is_over else (address(curve), None)
        pictures = *map(address, smalls), *curves, addressof(LUMA), address(grid), address(there), address(small)
        shape = *small.shape[:2], cells, KNOTS, registration.LEAST_MOVE_PX / cell, registration.LEAST_TURN_PX / cell
        call = _Alignment(addressof(SEARCH), *pictures, *shape)
        check(self._grids.align(self._pool, byref(call)))
        move = Move(*call.move)
        return (move, other) if move == NO_MOVE else (move, View(there, small))

    def observed(self, view: View, before: Former, cell: float) -> Observed:
        """See ComposedLoops."""
        cells, seen, other = cells_of(view), before.seen, before.other
        if not cells or seen.luma.shape != view.small.shape[:2]:
            return ComposedLoops.observed(cast(GridLoops, self), view, before, cell)
        grid, old, small, old_luma = map(_floats, (view.grid, seen.grid, view.small, seen.luma))
        luma, noise, histograms = np.empty_like(old_luma), np.empty((2, LEVELS), np.float32), np.empty((3, KNOTS + 1))
        changed, moved_blinks, new_blinks = np.empty((3, *grid.shape[:2]), np.float32)
        blinks = [before.blinks] + ([None, None] if other is None else [other.changed, other.blinks])
        kept = [None if mask is None else _floats(mask) for mask in (before.noise, *blinks)]
        call = _Observation(
            addressof(SEARCH),
            addressof(_following(temporal_noise.sampling_step(grid))),
            addressof(LIGHTS_OUT),
            noise_call(noise[1]),
            *(address(plane) for plane in (grid, old, small, old_luma)),
            addressof(LUMA),
            *(None if plane is None else address(plane) for plane in kept),
            *(address(plane) for plane in (luma, noise[0], changed, moved_blinks, new_blinks)),
            address(before.histograms),
            address(histograms),
            *changed.shape,
            cells,
            KNOTS,
            blinking.NOTED,
            1 - blinking.FORGET,
            keep_histogram=1 - intensity_mapping.FORGET,
            least_move=registration.LEAST_MOVE_PX / cell,
            least_turn=registration.LEAST_TURN_PX / cell,
        )
        check(self._grids.observe(self._pool, byref(call)))
        move = Move(*call.move)
        own = before.blinks if before.blinks is None or move == NO_MOVE else moved_blinks
        others = new_blinks if other is not None and call.most_blinking >= blinking.NOTED / 2 else None
        return Observed(luma, move, noise[0], changed, histograms, own, others)

    def difference(
        self, exposures: Sequence[Changed], grids: tuple[Grid, Grid], maps: ChannelMaps, least: Curve
    ) -> Difference | None:
        """See ComposedLoops."""
        under, over = map(_floats, grids)
        shape, count = under.shape[:2], len(exposures)
        mask, found, histograms = np.empty(shape, np.float32), np.empty((2, 3, KNOTS + 1)), np.empty((2, 3, KNOTS + 1))
        curves, variance, clips_at = curves_of(maps), np.ascontiguousarray(least), maps[0].clips_at
        measure = measure_of(curves, variance, mask.size, found, None)
        allowed = allowed_call(None, ghost_mask.SPOILT, clips_at)
        changed = [_floats(one.changed) for one in exposures]
        blinks = [None if one.blinks is None else _floats(one.blinks) for one in exposures]
        blinking_at = (c_void_p * count)(*(None if plane is None else address(plane) for plane in blinks))
        moves = (_Move * count)(*(_Move(one.move.dx, one.move.dy, one.move.turn) for one in exposures))
        changed_at = addresses(changed)
        call = _Difference(
            addressof(changed_at),
            addressof(blinking_at),
            addressof(moves),
            address(under),
            address(over),
            addressof(measure),
            addressof(SOFTENING),
            addressof(allowed),
            *map(address, (mask, histograms[0], histograms[1])),
            count,
            *shape,
            ghost_mask.GATE_CELLS // 2,
            ghost_mask.MOVES,
        )
        check(self._grids.find_difference(self._pool, byref(call)))
        if not call.any_gate:
            return None
        masked = (histograms[0], histograms[1]) if call.any_mask else None
        return Difference(mask, Allowed(found[0], found[1], ghost_mask.SPOILT, clips_at), masked)


@lru_cache(maxsize=16)
def _following(step: int) -> _Following:
    rates = temporal_noise.FALLING, temporal_noise.RISING
    held = temporal_noise.FIRST, temporal_noise.LEAST, temporal_noise.MOST
    return _Following(temporal_noise.OF_MEDIAN, *held, *rates, step, temporal_noise.FEWEST_OF_LEVEL)


def _floats(plane: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(plane, np.float32)


def cells_of(view: View) -> int:
    """How many cells of the grid a pixel of the small picture covers, down and across; 0 unless these are the same, and
    moves are searched in the small picture as it is.
    """
    return _cells(view.small.shape, view.grid.shape)


@lru_cache(maxsize=64)
def _cells(small: tuple[int, ...], grid: tuple[int, ...]) -> int:
    pixels, cells = (np.broadcast_to(np.float32(0), shape) for shape in (small, grid))
    each = grid[0] // small[0]
    whole = each > 1 and grid[:2] == (each * small[0], each * small[1])
    searched = registration.searched(cells, pixels) is pixels and registration.fewer_by(pixels) == 1
    return each if whole and searched else 0
