"""The compiled loops over the small planes that steer the pixels (kernels/windows.c, steering.c) from Python."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, byref, c_double, c_float, c_int, c_int32, c_void_p
from math import log

import numpy as np

from livemef.fusion.cpu.compiled_cycle import Rows, addresses, planes_of, rows_of
from livemef.fusion.cpu.row_kernels import Job, Plane, Planes
from livemef.fusion.kernels.constants import Constants, constants
from livemef.fusion.kernels.shared_library import address, check
from livemef.fusion.method import chroma_map, drift, gamma, guide_planes
from livemef.fusion.method.running_means import RunningMeans
from livemef.fusion.settings import FusionSettings


class _Showing(Structure):
    _fields_ = [
        ("gamma", c_double),
        ("wanted_mean", c_double),
        ("least_gamma", c_double),
        ("most_gamma", c_double),
        ("white", c_double),
        ("most_whitening", c_double),
        ("top_part", c_double),
        ("top_step", c_float),
        ("nodes", c_int32),
    ]


def declare_steering(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    shape, planes = [c_int32, c_int32], POINTER(c_void_p)
    loops.affine_coefficients.argtypes = [
        POINTER(Constants),
        planes,
        c_int32,
        *shape,
        c_int32,
        c_double,
        c_void_p,
        c_void_p,
        c_int32,
    ]
    loops.affine_coefficients.restype = c_int
    loops.chroma_parts.argtypes = [planes, c_int32, *shape, c_int32, c_double, c_void_p, c_int32]
    loops.chroma_parts.restype = c_int
    loops.drift_evidence.argtypes = [POINTER(Constants), *[c_void_p] * 2, *shape, c_void_p]
    loops.drift_evidence.restype = None
    loops.drift_factors.argtypes = [c_void_p, *shape, c_int32, *[c_double] * 3, c_void_p]
    loops.drift_factors.restype = c_int
    loops.show_lightness.argtypes = [POINTER(_Showing), c_void_p, c_void_p, c_int32, c_void_p]
    loops.show_lightness.restype = c_double
    loops.whiten_lightness.argtypes = [c_void_p, c_int32, c_float]
    loops.whiten_lightness.restype = None
    loops.steering_rows.argtypes = [c_void_p, c_void_p, c_float, planes, c_int32, c_int32, *shape, c_void_p]
    loops.steering_rows.restype = None


def showing(settings: FusionSettings) -> Structure:
    """How the lightness is to be shown."""
    fixed = 0.0 if settings.gamma == "adaptive" else settings.gamma
    top = settings.white, gamma.MOST_WHITENING, gamma.TOP_PART, gamma.TOP_STEP, gamma.NODES
    return _Showing(fixed, settings.adaptive_target, *gamma.ADAPTIVE_RANGE, *top)


class CompiledSteering:
    """The PixelLoops over small planes, compiled. Planes that they return are of float32, each row of one apart."""

    _library: CDLL
    _pool: int | None

    def chroma_parts(self, chromas: Sequence[Plane]) -> Planes:
        """See PixelLoops."""
        planes = [np.ascontiguousarray(chroma, np.float32) for chroma in chromas]
        height, width = planes[0].shape
        result = np.empty((height, len(planes) - 1, width), np.float32)
        window = guide_planes.CHROMA_RADIUS, chroma_map.CHROMA_OFFSET, address(result), len(planes) - 1
        check(self._library.chroma_parts(addresses(planes), len(planes), height, width, *window))
        return planes_of(result)

    def drift_evidence(self, smalls: Sequence[Plane], settings: FusionSettings) -> Planes:
        """See PixelLoops."""
        numbers, (height, width) = constants(settings.shoulder), smalls[0].shape[:2]
        planes = [np.ascontiguousarray(plane, np.float32) for plane in smalls]
        result = np.empty((len(smalls) - 1, height, 6, width), np.float32)
        for (dark, bright), shown in zip(itertools.pairwise(planes), result, strict=True):
            data = address(dark), address(bright), height, width, address(shown)
            self._library.drift_evidence(byref(numbers), *data)
        return result.transpose(0, 1, 3, 2)

    def drift_factors(self, evidence: Planes) -> Planes:
        """See PixelLoops."""
        rows = rows_of(evidence)
        height, _, width = rows.shape
        (radius,) = drift.RADII
        result = np.empty((height, 3, width), np.float32)
        weights = drift.FALL, drift.prior(), drift.STRENGTH / log(2)
        check(self._library.drift_factors(address(rows), height, width, radius, *weights, address(result)))
        return planes_of(result)

    def target_lightness(self, fused: Plane, brightest: Plane, settings: FusionSettings, means: RunningMeans) -> Plane:
        """See PixelLoops."""
        fused, brightest = (np.ascontiguousarray(plane, np.float32) for plane in (fused, brightest))
        call = showing(settings)
        result = np.empty_like(fused)
        data = address(fused), address(brightest), fused.size, address(result)
        found = self._library.show_lightness(byref(call), *data)
        check(found < 0)
        gain = means.white_with(float(found))
        if gain != 1:
            self._library.whiten_lightness(address(result), result.size, gain)
        return result

    def affine_planes(self, lights: Sequence[Plane], target: Plane, settings: FusionSettings) -> Planes:
        """See PixelLoops."""
        planes = [np.ascontiguousarray(plane, np.float32) for plane in (*lights, target)]
        height, width = target.shape
        room, result = np.empty((2, height, len(planes), width), np.float32)
        window = settings.window_radius, settings.window_eps, address(room), address(result), len(planes)
        numbers = byref(constants(settings.shoulder))
        check(self._library.affine_coefficients(numbers, addresses(planes), len(lights), height, width, *window))
        return planes_of(result)

    def _steering(self, job: Job) -> Rows:
        """The small planes, h x their number x w: those of the job, with coefficients rewritten from L* to
        f = (L* + 16) / 116, and for colour "tone" the drifts of B, G, R."""
        planes, drifts = rows_of(job.planes), [rows_of(one) for one in job.drifts]
        height, count, width = planes.shape
        result = np.empty((height, count + 3 * len(drifts), width), np.float32)
        data = address(planes), job.gain, addresses(drifts) if drifts else None, len(job.inputs), count
        self._library.steering_rows(self._pool, *data, height, width, address(result))
        return result
