"""Argument of the motion compensation kernel. Pure: sizes, offsets and numbers, no device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ctypes import Structure, c_float, c_int32, c_int64, c_uint64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.cuda.launch_layout import Picture, offsets
from livemef.fusion.motion import dim_colour, exposure_synthesis, intensity_mapping, saturation_fill
from livemef.fusion.motion.exposure_synthesis import Compensation
from livemef.fusion.motion.registration import NO_MOVE


class Remake(Structure):
    """See `Remake` in kernels/motion.cuh: the same fields in the same order. Addresses are of the device."""

    _fields_ = [
        ("reference", c_uint64),
        ("other", c_uint64),
        ("out", c_uint64),
        ("reference_stride", c_int64),
        ("other_stride", c_int64),
        ("out_stride", c_int64),
        ("table", c_uint64),
        ("mask", c_uint64),
        ("across", c_uint64),
        ("down", c_uint64),
        ("fill", c_uint64),
        ("height", c_int32),
        ("width", c_int32),
        ("grid_height", c_int32),
        ("grid_width", c_int32),
        ("fill_height", c_int32),
        ("fill_width", c_int32),
        ("clip_start", c_float),
        ("clip_scale", c_float),
        ("least_fill", c_float),
        ("like", c_float),
        ("dim", c_float),
        ("dim_scale", c_float),
        ("grain", c_float),
        ("faint", c_float),
        ("tinted", c_int32),
    ]


@dataclass(frozen=True)
class RemakeBuffers:
    """Offsets of the kernel's parameter arrays in one block of memory, for exposures of one size.

    itemsize: bytes a sample. grid: cells down and across.
    """

    height: int
    width: int
    itemsize: int
    grid: tuple[int, int]

    def sizes(self) -> dict[str, int]:
        """Bytes of each array."""
        cells = self.grid[0] * self.grid[1]
        return {
            "table": 3 * 4 * 256**self.itemsize,
            "mask": 4 * cells,
            "across": 4 * self.height,
            "down": 4 * self.width,
            "fill": 12 * cells,
        }

    @property
    def size(self) -> int:
        """Of the whole block, bytes."""
        return offsets(self.sizes())[1]

    def arrays(self, todo: Compensation) -> dict[str, NDArray[np.number]]:
        """What goes into the block."""
        dtype = np.dtype(f"u{self.itemsize}")
        arrays: dict[str, NDArray[np.number]] = {
            "table": intensity_mapping.code_tables(todo.curves, dtype).astype(np.float32),
            "mask": todo.mask,
        }
        if todo.move != NO_MOVE:
            arrays["across"], arrays["down"] = exposure_synthesis.places(todo.move, self.height, self.width)
        fill = todo.tints if todo.fill is None else todo.fill
        if fill is not None:
            arrays["fill"] = (fill * np.iinfo(dtype).max).astype(np.float32)
        return arrays

    def fill(self, block: NDArray[np.uint8], arrays: Mapping[str, NDArray[np.number]]) -> None:
        """Copy the arrays to their places in the block."""
        places, _ = offsets(self.sizes())
        for name, array in arrays.items():
            block[places[name] : places[name] + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)

    def argument(
        self,
        todo: Compensation,
        block: int,
        reference: Picture,
        other: Picture,
        out: Picture,
        arrays: Iterable[str],
    ) -> Remake:
        """The kernel's argument. block: its address on the device; `arrays`: the names of those that are in it."""
        places, _ = offsets(self.sizes())
        top = 256**self.itemsize - 1
        white = top * todo.clips_at
        starts, ends = white * saturation_fill.CLIP_START, white * saturation_fill.CLIP_END
        fill = todo.tints if todo.fill is None else todo.fill
        shape = (0, 0) if fill is None else fill.shape[:2]
        return Remake(
            reference=reference.address,
            other=other.address,
            out=out.address,
            reference_stride=reference.stride,
            other_stride=other.stride,
            out_stride=out.stride,
            **{name: block + places[name] if name in arrays else 0 for name in places},
            height=self.height,
            width=self.width,
            grid_height=self.grid[0],
            grid_width=self.grid[1],
            fill_height=shape[0],
            fill_width=shape[1],
            clip_start=starts,
            clip_scale=1 / (ends - starts),
            least_fill=top * saturation_fill.LEAST_FILL,
            like=saturation_fill.LIKE,
            dim=top * dim_colour.DIM_PART * todo.clear,
            dim_scale=1 / (top * (1 - dim_colour.DIM_PART) * todo.clear),
            grain=dim_colour.square_of(todo.grain) * top**2,
            faint=dim_colour.FAINT * top,
            tinted=todo.tints is not None,
        )


def in_lightness(steering: NDArray[np.float32], exposures: int) -> NDArray[np.float64]:
    """The device's steering planes, whose N + 1 coefficients are in f = (L* + 16) / 116, with coefficients in L*."""
    planes = steering.astype(np.float64)
    planes[..., exposures] = 116 * planes[..., exposures] - 16 * (1 - planes[..., :exposures].sum(axis=-1))
    return planes


def in_f(planes: NDArray[np.floating[Any]], exposures: int) -> NDArray[np.float32]:
    """The inverse of `in_lightness`."""
    steering = np.array(planes, np.float32)
    offset = planes[..., exposures] + 16 * (1 - planes[..., :exposures].sum(axis=-1))
    steering[..., exposures] = offset / 116
    return steering
