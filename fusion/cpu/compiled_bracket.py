"""The compiled search for the planes that steer a bracket's pixels (kernels/bracket.c), in one call, from Python."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import CDLL, POINTER, Structure, addressof, byref, c_double, c_float, c_int, c_int32, c_void_p
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.cpu.compiled_cycle import CompiledCycle, addresses, planes_of, rows_of
from livemef.fusion.cpu.compiled_steering import CompiledSteering, showing
from livemef.fusion.cpu.row_kernels import Planes
from livemef.fusion.cpu.steering_planes import SmallBracket, Steering
from livemef.fusion.kernels.constants import constants
from livemef.fusion.kernels.shared_library import address, check
from livemef.fusion.method import chroma_map, drift, guide_planes
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.motion import cycle_means
from livemef.fusion.motion.ghost_mask import Mask
from livemef.fusion.motion.registration import NO_MOVE
from livemef.fusion.motion.steadiness import Cycle

DRIFT = 6
"""Planes of evidence of a pair of exposures."""


class _Bracket(Structure):
    _fields_ = [
        ("constants", c_void_p),
        ("showing", c_void_p),
        ("fused", c_void_p),
        ("lights", c_void_p),
        ("chromas", c_void_p),
        ("smalls", c_void_p),
        ("drift_before", c_void_p),
        ("drift_means", c_void_p),
        ("drifts", c_void_p),
        ("target", c_void_p),
        ("room", c_void_p),
        ("planes", c_void_p),
        ("past", c_void_p),
        ("changed", c_void_p),
        ("moved", c_void_p),
        ("still", c_void_p),
        ("steered", c_void_p),
        ("n", c_int32),
        ("count", c_int32),
        ("height", c_int32),
        ("width", c_int32),
        ("radius", c_int32),
        ("chroma_radius", c_int32),
        ("drift_radius", c_int32),
        ("past_count", c_int32),
        ("newest_at", c_int32),
        ("changed_count", c_int32),
        ("cells", c_int32),
        ("still_gain", c_float),
        ("share", c_double),
        ("eps", c_double),
        ("chroma_offset", c_double),
        ("drift_fall", c_double),
        ("drift_prior", c_double),
        ("drift_strength", c_double),
        ("white", c_double),
        ("mean", c_double),
        ("move", c_double * 3),
        ("failed", c_int32),
    ]


def declare_bracket(loops: CDLL) -> None:
    """Types of the function's arguments."""
    loops.find_planes.argtypes = [c_void_p, POINTER(_Bracket)]
    loops.find_planes.restype = c_int


class _Call:
    """The structure being filled, with all that it points into kept alive."""

    def __init__(self) -> None:
        self.made = _Bracket()
        self._kept: list[Any] = []

    def array(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A new array as the field of this name."""
        made = np.empty(shape, np.float32)
        setattr(self.made, name, address(made))
        self._kept.append(made)
        return made

    def list(self, name: str, arrays: Iterable[NDArray[Any]]) -> None:
        """Addresses of arrays as the field of this name."""
        floats = [np.ascontiguousarray(array, np.float32) for array in arrays]
        places = addresses(floats)
        setattr(self.made, name, addressof(places))
        self._kept += [floats, places]

    def keep(self, thing: Any) -> Any:
        """Keep something alive."""
        self._kept.append(thing)
        return thing


class CompiledBracket(CompiledSteering, CompiledCycle):
    """PixelLoops that find all planes of a bracket at once."""

    def steering(self, bracket: SmallBracket) -> Steering:
        """See steering_planes.steering."""
        call, settings, means, memory = _Call(), bracket.settings, bracket.means, bracket.memory
        made, n, (height, width) = call.made, len(bracket.lights), bracket.fused.shape
        made.constants = addressof(call.keep(constants(settings.shoulder)))
        made.showing = addressof(call.keep(showing(settings)))
        made.fused = address(call.keep(np.ascontiguousarray(bracket.fused, np.float32)))
        call.list("lights", bracket.lights)
        if bracket.chromas:
            call.list("chromas", bracket.chromas)
        made.n, made.count, made.height, made.width = n, n + max(len(bracket.chromas), 1), height, width
        made.radius, made.eps = settings.window_radius, settings.window_eps
        made.chroma_radius, made.chroma_offset = guide_planes.CHROMA_RADIUS, chroma_map.CHROMA_OFFSET
        made.share, made.white = means.share, means.white
        call.array("target", height, width)
        call.array("room", height, n + 1, width)
        planes = call.array("planes", height, made.count, width)
        drifts = _set_drift(call, bracket) if settings.colour == "tone" else None
        cycle = None if memory is None else memory.cycle((height, width))
        moved = [] if cycle is None else _set_past(call, cycle)
        steered = planes if cycle is None else call.array("steered", *planes.shape)
        if cycle is not None and cycle.changed is not None:
            _set_still(call, cycle.changed)
        check(self._library.find_planes(self._pool, byref(made)))
        means.white = made.white
        if drifts is not None:
            means.drift = drifts[0].transpose(0, 1, 3, 2)
        if memory is not None:
            memory.keep(moved, planes_of(planes))
        gain = 1.0
        if memory is not None:
            gain = memory.mean.factor(made.mean)
            memory.cycle_lightness.level(planes_of(steered[:, : n + 1]), self.mean_lightness, gain)
        return Steering(planes_of(steered), [] if drifts is None else [planes_of(one) for one in drifts[1]], gain)


def _set_drift(call: _Call, bracket: SmallBracket) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean evidence of each pair (pairs x h x DRIFT x w), and factors (pairs x h x 3 x w), to be found."""
    pairs, (height, width) = len(bracket.smalls) - 1, bracket.fused.shape
    means, factors = (
        np.empty((pairs, height, DRIFT, width), np.float32),
        np.empty((pairs, height, 3, width), np.float32),
    )
    call.list("smalls", bracket.smalls)
    call.list("drift_means", means)
    call.list("drifts", factors)
    before = _drift_before(bracket.means, (pairs, height, width, DRIFT))
    if before is not None:
        call.list("drift_before", before.transpose(0, 1, 3, 2))
    (call.made.drift_radius,) = drift.RADII
    weights = drift.FALL, drift.prior(), drift.STRENGTH / log(2)
    call.made.drift_fall, call.made.drift_prior, call.made.drift_strength = weights
    return means, factors


def _drift_before(means: RunningMeans, shape: tuple[int, ...]) -> Planes | None:
    """See RunningMeans.drift_with."""
    return None if means.drift is None or means.drift.shape != shape or means.share == 1 else means.drift


def _set_past(call: _Call, cycle: Cycle) -> list[tuple[int, Planes]]:
    """The other brackets, without the camera's step, which is undone."""
    made, move = call.made, cycle.move
    others = [index for index in cycle.planes if index != cycle.newest]
    order = list(cycle.planes) if cycle.newest in cycle.planes else [*cycle.planes, cycle.newest]
    rows = [rows_of(cycle.planes[index]) for index in others]
    made.past_count, made.newest_at = len(others), order.index(cycle.newest)
    call.list("past", rows)
    if move == NO_MOVE or not rows:
        return [(index, cycle.planes[index]) for index in others]
    found = [np.empty_like(planes) for planes in rows]
    call.list("moved", found)
    made.move[:] = move.dx, move.dy, move.turn
    return [(index, planes_of(planes)) for index, planes in zip(others, found, strict=True)]


def _set_still(call: _Call, changed: list[Mask]) -> None:
    """The planes are to be steered by the whole cycle, of which all has changed that these masks show."""
    made = call.made
    call.list("changed", changed)
    made.changed_count, made.still_gain = len(changed), cycle_means.STILL_GAIN
    made.cells = len(changed[0]) // made.height
    call.array("still", made.height, made.width)
