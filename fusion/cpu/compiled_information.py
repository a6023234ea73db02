"""The compiled decision which regions are replaced (kernels/information.c) from Python."""

from __future__ import annotations

from ctypes import CDLL, POINTER, Structure, byref, c_float, c_int, c_int32, c_void_p

import numpy as np

from livemef.fusion.cpu.compiled_maps import curves_of
from livemef.fusion.kernels.shared_library import address, check
from livemef.fusion.motion import information, intensity_mapping, regions
from livemef.fusion.motion.ghost_mask import Allowed, Grid, Mask
from livemef.fusion.motion.intensity_mapping import ChannelMaps
from livemef.fusion.motion.views import Replacing


class _Decision(Structure):
    _fields_ = [
        ("under", c_void_p),
        ("over", c_void_p),
        ("mask", c_void_p),
        ("made", c_void_p),
        ("before", c_void_p),
        ("noise", c_void_p),
        ("brighter", c_void_p),
        ("replacing", c_void_p),
        ("replaced", c_void_p),
        ("deviations", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("knots", c_int32),
        ("known", c_int32),
        ("near", c_int32),
        ("apart", c_int32),
        ("belongs", c_float),
        ("least_bound", c_float),
        ("bound_part", c_float),
        ("most_bound", c_float),
        ("held", c_float),
        ("ramp", c_float),
    ]


_RULES = (
    intensity_mapping.KNOTS,
    round(information.KNOWN_FROM * intensity_mapping.KNOTS),
    intensity_mapping.NEAR,
    regions.APART,
    regions.BELONGS,
    information.LEAST_BOUND,
    information.BOUND_PART,
    information.MOST_BOUND,
    information.HELD,
    information.RAMP,
)


def declare_information(loops: CDLL) -> None:
    """Types of the functions' arguments."""
    loops.decide_regions.argtypes = [c_void_p, POINTER(_Decision)]
    loops.decide_regions.restype = c_int


class CompiledInformation:
    """The GridLoops that decide what is replaced, compiled."""

    _grids: CDLL
    _pool: int | None

    def replacing(
        self,
        grids: tuple[Grid, Grid],
        mask: Mask,
        of_still: Allowed,
        maps: ChannelMaps,
        made: Mask | None,
        before: Mask | None,
    ) -> Replacing:
        """See ComposedLoops."""
        under, over, mask = (np.ascontiguousarray(plane, np.float32) for plane in (*grids, mask))
        noise, curves, found = (
            np.ascontiguousarray(of_still.noise),
            curves_of(maps),
            np.empty((3, *mask.shape), np.float32),
        )
        masks = [None if plane is None else np.ascontiguousarray(plane, np.float32) for plane in (made, before)]
        call = _Decision(
            *map(address, (under, over, mask)),
            *(None if plane is None else address(plane) for plane in masks),
            *map(address, (noise, curves, *found)),
            *mask.shape,
            *_RULES,
        )
        check(self._grids.decide_regions(self._pool, byref(call)))
        return Replacing(*found)
