"""The compiled loops that learn the maps between exposures (kernels/evidence.c) from Python."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, byref, c_double, c_int, c_int32, c_void_p

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.kernels.shared_library import address, check
from livemef.fusion.motion import moving_maps
from livemef.fusion.motion.ghost_mask import LEVEL, LEVELS
from livemef.fusion.motion.intensity_mapping import (
    BALANCED,
    CLIPS,
    KNOTS,
    MOST_GAIN,
    NEAR,
    PRIOR,
    SEEN,
    ChannelMaps,
    Curve,
    ExposureMap,
)
from livemef.fusion.motion.moving_maps import Moving
from livemef.fusion.motion.temporal_noise import FIRST, NoiseLevels

_NO_NOISE = np.full(LEVELS, FIRST, np.float32)
_LEVEL = np.array(LEVEL)
_LEVEL_AT = address(_LEVEL)

Curves = NDArray[np.float64]
"""Of maps: to the brighter exposure's values and back, 2 x 3 x KNOTS + 1."""


class _Learning(Structure):
    _fields_ = [
        ("dark", c_void_p),
        ("bright", c_void_p),
        ("known", c_void_p),
        ("dark_noise", c_void_p),
        ("bright_noise", c_void_p),
        ("found", c_void_p),
        ("least", c_void_p),
        ("knots", c_int32),
        ("clips", c_int32),
        ("near", c_int32),
        ("levels", c_int32),
        ("prior", c_double),
        ("surely", c_double),
        ("failed", c_int32),
    ]


class _Balance(Structure):
    _fields_ = [
        ("clips", c_double),
        ("balanced", c_double),
        ("most_gain", c_double),
        ("cells", c_double),
        ("knots", c_int32),
    ]


class _Moving(Structure):
    _fields_ = [
        ("learning", _Learning),
        ("balance", _Balance),
        ("under", c_void_p),
        ("over", c_void_p),
        ("maps", c_void_p),
        ("values", c_void_p),
        ("around", c_void_p),
        ("dark", c_void_p),
        ("bright", c_void_p),
        ("balanced", c_void_p),
        ("keep", c_double),
        ("astray", c_double),
        ("learns", c_int32),
        ("any", c_int32),
        ("gained", c_int32),
    ]


def declare_maps(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    loops.learned_maps.argtypes = [c_void_p, POINTER(_Learning)]
    loops.learned_maps.restype = c_int
    loops.balanced_maps.argtypes = [POINTER(_Balance), *[c_void_p] * 5]
    loops.balanced_maps.restype = c_int
    loops.least_variance.argtypes = [*[c_void_p] * 3, *[c_int32] * 3, c_void_p]
    loops.least_variance.restype = c_int
    loops.follow_moving.argtypes = [c_void_p, POINTER(_Moving)]
    loops.follow_moving.restype = c_int


class _Maps(tuple[ExposureMap, ExposureMap, ExposureMap]):
    """ChannelMaps whose curves lie one after the other."""

    curves: Curves


def _maps_of(found: Curves, clips_at: float) -> ChannelMaps:
    maps = _Maps(ExposureMap(brighter, darker, clips_at) for brighter, darker in zip(*found, strict=True))
    maps.curves = found
    return maps


def curves_of(maps: Sequence[ExposureMap]) -> Curves:
    """The curves of maps. Not to be changed."""
    if isinstance(maps, _Maps):
        return maps.curves
    return np.array([[one.brighter for one in maps], [one.darker for one in maps]], np.float64)


def _learning(
    dark: Curve,
    bright: Curve,
    known: Curves | None,
    found: Curves,
    cells: int,
    clips_at: float,
    noises: Sequence[int | None] = (None, None),
    least: int | None = None,
) -> _Learning:
    """Of arrays that the caller keeps alive. noises, least: addresses of both noise levels, of the result."""
    data = address(dark), address(bright), None if known is None else address(known), *noises, address(found), least
    return _Learning(*data, KNOTS, round(CLIPS * clips_at * KNOTS), NEAR, LEVELS, PRIOR * cells, SEEN)


def _balance(clips_at: float, cells: int) -> _Balance:
    return _Balance(CLIPS * clips_at, BALANCED, MOST_GAIN, cells, KNOTS)


def _known_curves(known: Sequence[ExposureMap] | None, clips_at: float) -> Curves | None:
    """The curves of known maps; none to more than the value that clips."""
    if known is None or clips_at == 1:
        return None if known is None else curves_of(known)
    curves = curves_of(known).copy()
    np.minimum(curves[0], clips_at, out=curves[0])
    return curves


class CompiledMaps:
    """The GridLoops that learn maps, compiled."""

    _grids: CDLL
    _pool: int | None

    def least_variance(self, exposures: ExposureMap, dark: NoiseLevels | None, bright: NoiseLevels | None) -> Curve:
        """See GridLoops."""
        brighter, result = np.ascontiguousarray(exposures.brighter), np.empty(KNOTS + 1)
        noises = [_NO_NOISE if noise is None else np.ascontiguousarray(noise) for noise in (dark, bright)]
        check(
            self._grids.least_variance(address(brighter), *map(address, noises), KNOTS, LEVELS, NEAR, address(result))
        )
        return result

    def learned(
        self, dark: Curve, bright: Curve, known: Sequence[ExposureMap] | None, cells: int, clips_at: float = 1.0
    ) -> ChannelMaps:
        """See GridLoops."""
        dark, bright, found = np.ascontiguousarray(dark), np.ascontiguousarray(bright), np.empty((2, 3, KNOTS + 1))
        curves = _known_curves(known, clips_at)
        check(self._grids.learned_maps(self._pool, byref(_learning(dark, bright, curves, found, cells, clips_at))))
        return _maps_of(found, clips_at)

    def learned_pair(
        self,
        histograms: Sequence[Curve],
        noises: Sequence[NoiseLevels | None],
        known: Sequence[ExposureMap] | None,
        cells: int,
        clips_at: float,
    ) -> tuple[ChannelMaps, Curve]:
        """See ComposedLoops."""
        dark, bright = map(np.ascontiguousarray, histograms)
        curves, found, least = _known_curves(known, clips_at), np.empty((2, 3, KNOTS + 1)), np.empty((3, KNOTS + 1))
        measured = [_NO_NOISE if noise is None else np.ascontiguousarray(noise) for noise in noises]
        rest = [address(noise) for noise in measured], address(least)
        check(
            self._grids.learned_maps(self._pool, byref(_learning(dark, bright, curves, found, cells, clips_at, *rest)))
        )
        return _maps_of(found, clips_at), least

    def balanced(self, maps: ChannelMaps, under: Curve, over: Curve, cells: int) -> ChannelMaps:
        """See GridLoops."""
        curves, found = curves_of(maps), np.empty((2, 3, KNOTS + 1))
        data = address(under), address(over), address(curves), _LEVEL_AT, address(found)
        gained = self._grids.balanced_maps(byref(_balance(maps[0].clips_at, cells)), *data)
        return _clipped_maps(found, maps[0].clips_at) if gained else maps

    def moving_maps(
        self,
        moving: Moving,
        levels: tuple[Curve, Curve],
        of_all: ChannelMaps | None,
        cells: int,
        clips_at: float,
    ) -> tuple[ChannelMaps, ChannelMaps] | None:
        """See ComposedLoops."""
        (under, over), (learned, balanced) = levels, np.empty((2, 2, 3, KNOTS + 1))
        known, maps, prior = _known_curves(of_all, clips_at), moving.maps, moving_maps.PRIOR * cells
        curves, around = curves_of(maps), None if of_all is None else curves_of(of_all)
        at = maps[0].clips_at if of_all is None else clips_at
        call = _Moving(
            _learning(moving.dark, moving.bright, known, learned, prior, clips_at),
            _balance(at, cells),
            *map(address, (under, over, curves)),
            _LEVEL_AT,
            None if around is None else address(around),
            *map(address, (moving.dark, moving.bright, balanced)),
            1 - moving_maps.FORGET,
            moving_maps.MOST_ASTRAY,
            of_all is not None,
        )
        check(self._grids.follow_moving(self._pool, byref(call)))
        if not call.any:
            return None
        maps = maps if of_all is None else _maps_of(learned, clips_at)
        return maps, _clipped_maps(balanced, at) if call.gained else maps


def _clipped_maps(found: Curves, clips_at: float) -> ChannelMaps:
    if clips_at < 1:
        np.minimum(found[0], clips_at, out=found[0])
    return _maps_of(found, clips_at)
