"""Arguments and order of the CUDA kernels. Pure: sizes, offsets and numbers, no device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ctypes import c_int64, c_uint64
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.cuda.kernel_argument import MOST_EXPOSURES, Bracket
from livemef.fusion.kernels.constants import constants
from livemef.fusion.method import chroma_map, colour, downscale, drift, surround
from livemef.fusion.method.gamma import ADAPTIVE_RANGE, MOST_WHITENING, TOP_PART, TOP_STEP
from livemef.fusion.method.guide_planes import CHROMA_RADIUS, compares_chroma
from livemef.fusion.motion import compensation
from livemef.fusion.settings import FusionSettings

FINE_STEPS = 8192
ENCODE_STEPS = {1: 1024, 2: 4096}
"""Intervals of the tables, by bytes a sample: 0.001 of an 8-bit code, 0.02 of a 16-bit one."""

GROUP_BYTES = 12
NODES = round(100 / TOP_STEP) + 1
DRIFT_NUMBERS = 6
TRANSFERS = ("lab", "chromaticity", "tone")
"""In the order of kernels/bracket.cuh."""
ALIGNMENT = 256
BLOCK = (32, 8, 1)


@dataclass(frozen=True)
class Picture:
    """A picture in memory that the device can access: its address, and the bytes from row to row."""

    address: int
    stride: int


@dataclass(frozen=True)
class Step:
    """One kernel (or the network, `kernel` "network") on the small picture or on the whole one.

    stage: under which name its time is counted. size: threads in x, y, z. plane: the first of the two planes of its
    input that the network takes.
    """

    stage: str
    kernel: str
    small: bool
    size: tuple[int, int, int]
    plane: int = 0

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks of BLOCK threads that cover the size."""
        x, y, z = (-(-count // block) for count, block in zip(self.size, BLOCK, strict=True))
        return x, y, z


@dataclass(frozen=True)
class BracketLayout:
    """How brackets of one size and kind are fused, of two to MOST_EXPOSURES exposures.

    itemsize: bytes a sample, 1 or 2. multiple: of the network's height and width. half: the network takes and gives
    fp16, else fp32.
    """

    height: int
    width: int
    itemsize: int
    settings: FusionSettings
    multiple: int
    half: bool
    exposures: int = 2

    @property
    def small_shape(self) -> tuple[int, int]:
        """Height and width of the small picture."""
        return downscale.small_shape(self.height, self.width, self.settings.small_lines)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Cells of the motion grid, down and across."""
        return compensation.grid_shape(self.height, self.width, self.settings.small_lines)

    @property
    def full(self) -> bool:
        """Whether the network sees every pixel."""
        return not self.settings.network_lines

    def network_shape(self, small: bool) -> tuple[int, int]:
        """Height and width that the network gets: padded."""
        shape = self.small_shape if small else (self.height, self.width)
        height, width = (-(-side // self.multiple) * self.multiple for side in shape)
        return height, width

    @property
    def network_shapes(self) -> tuple[tuple[int, int], ...]:
        """The sizes at which the network runs."""
        return tuple(dict.fromkeys(self.network_shape(step.small) for step in self.steps() if step.kernel == "network"))

    @property
    def _sums_pitch(self) -> int:
        samples = GROUP_BYTES // self.itemsize
        return -(-3 * self.width // samples) * samples

    def steps(self) -> list[Step]:
        """The kernels of a bracket, in order."""
        adaptive, white = self.settings.gamma == "adaptive", self.settings.white > 0
        small_height, small_width = self.small_shape
        lab_height, lab_width = self.network_shape(True) if self._runs_small else self.small_shape
        bits, cells, count = 8 * self.itemsize, (small_width, small_height, 1), self.exposures
        more = "" if count == 2 else f"_{count}"
        steps = [*self._averaging(*self.small_shape), Step("shrink", "small_lab", True, (lab_width, lab_height, count))]
        if self._tone:
            steps += [
                Step("shrink", "drift_cells", True, (small_width, small_height, count - 1)),
                Step("shrink", "drift_rows", True, (small_width, small_height, DRIFT_NUMBERS * (count - 1))),
                Step("shrink", "drift_factors", True, (small_width, small_height, count - 1)),
            ]
        if not self.full:
            steps += [
                Step("shrink", "find_surround", True, cells),
                Step("shrink", "surround_rows", True, (small_width, small_height, count + 1)),
                Step("shrink", "fill_surround", True, (lab_width, lab_height, count)),
            ]
        if self._runs_small:
            steps += self._tree(True)
        if adaptive:
            steps.append(Step("affine", "sum_lightness", True, (small_height, 1, 1)))
            steps.append(Step("affine", "adapt_exponent", True, (1, 1, 1)))
        if white or not self.full:
            steps.append(Step("affine", "compensate_gamma", True, cells))
        if white:
            steps += [
                Step("affine", "count_lightness", True, (NODES, small_height, 2)),
                Step("affine", "add_counts", True, (NODES, 1, 2)),
                Step("affine", "find_white", True, (1, 1, 1)),
            ]
        parts = [Step("affine", "chroma_parts", True, cells)] if self._compares_chroma else []
        if self.full:
            height, width = self.network_shape(False)
            steps += [
                *([Step("affine", "window_rows", True, (small_width, small_height, count)), *parts] if parts else []),
                Step("network", f"full_lightness{bits}", False, (width, height, count)),
                *self._tree(False),
                Step("network", "compensate_gamma", False, (self.width, self.height, 1)),
                *([Step("network", "whiten", False, (self.width, self.height, 1))] if white else []),
            ]
        else:
            steps += [
                *([Step("affine", "whiten", True, cells)] if white else []),
                Step("affine", "window_rows", True, (small_width, small_height, self._window_planes)),
                *parts,
                Step("affine", f"solve_windows{more}", True, cells),
                Step("affine", "smooth_rows", True, (small_width, small_height, count + 1)),
                Step("affine", "smooth_columns", True, cells),
            ]
        last = f"{'tone' if self._tone else 'fuse'}{bits}{more}"
        return [*steps, Step("pixels", last, False, (self._groups, self.height, 1))]

    def _tree(self, small: bool) -> list[Step]:
        """The network over neighbours, two by two, until one is left: see `guide_planes.network_lightness`."""
        height, width = self.network_shape(small)

        def network(plane: int) -> Step:
            return Step("network", "network", small, (1, 1, 1), plane)

        def feed(plane: int) -> Step:
            return Step("network", f"feed_{plane}", small, (width, height, 1))

        third = [] if self.exposures == 3 else [network(2), feed(2)]
        return [network(0)] if self.exposures == 2 else [network(0), feed(1), *third, network(1)]

    @property
    def _window_planes(self) -> int:
        count = self.exposures
        return 2 * count + 1 + count * (count + 1) // 2 + (count if self._compares_chroma else 0)

    @property
    def steering_planes(self) -> int:
        """Of a bracket: see `StreamMemory.steer`."""
        return 2 * self.exposures if self._compares_chroma else self.exposures + 1

    @property
    def steering_numbers(self) -> int:
        """Numbers a cell of the steering planes: whole float4s."""
        return -(-self.steering_planes // 4) * 4

    @property
    def _compares_chroma(self) -> bool:
        return compares_chroma(self.exposures, self.settings)

    @property
    def _tone(self) -> bool:
        return self.settings.colour == "tone"

    @property
    def _runs_small(self) -> bool:
        """Whether the network sees the small picture."""
        return self.settings.gamma == "adaptive" or self.settings.white > 0 or not self.full

    def grid_steps(self) -> list[Step]:
        """The kernels that compute the exposures' motion grids."""
        return self._averaging(*self.grid_shape)

    def remake_step(self) -> Step:
        """The kernel that synthesises an exposure at the reference's moment."""
        return Step("motion", f"remake{8 * self.itemsize}", False, (self.width, self.height, 1))

    @property
    def _groups(self) -> int:
        return -(-3 * self.width * self.itemsize // GROUP_BYTES)

    def _averaging(self, height: int, width: int) -> list[Step]:
        bits = 8 * self.itemsize
        return [
            Step("shrink", f"sum_rows{bits}", True, (self._groups, height, self.exposures)),
            Step("shrink", f"sum_columns{bits}", True, (3 * width, height, self.exposures)),
        ]

    def planes(self) -> dict[str, int]:
        """Bytes of each plane between the kernels, by the name of its field in Bracket."""
        cells = self.small_shape[0] * self.small_shape[1]
        inputs = max((height * width for height, width in self.network_shapes), default=0)
        lines, pixels = (self.height, self.height * self.width) if self.full else (self.small_shape[0], cells)
        element = 2 if self.half else 4
        grid, count = (0, 0) if self.settings.motion == "off" else self.grid_shape, self.exposures
        return {
            "row_sums": count * max(grid[0], self.small_shape[0]) * self._sums_pitch * 4,
            "small_bgr": count * cells * 3 * 4,
            "lightness": count * cells * 4,
            "chroma": count * cells * 4,
            "network_in": count * inputs * element,
            "network_out": inputs * element,
            "lightness_sums": lines * 8,
            "exponent": 4,
            "counts": 2 * (self.small_shape[0] + 1) * NODES * 4,
            "drift_sums": 2 * DRIFT_NUMBERS * (count - 1) * cells * 4,
            "drift": (count - 1) * cells * 16,
            "surround": cells * 4,
            "inside_sums": 2 * (count + 1) * cells * 4,
            "target": pixels * 4,
            "window_sums": self._window_planes * cells * 8,
            "coefficients": (count + 1) * cells * 4,
            "smooth_sums": (count + 1) * cells * 4,
            "steering": cells * self.steering_numbers * 4,
            "grids": count * grid[0] * grid[1] * 3 * 4,
        }

    @property
    def memory(self) -> tuple[Any, ...]:
        """What decides the memory and the engines that brackets of this layout need."""
        still = self.settings.motion == "off"
        return self.height, self.width, self.itemsize, self.half, self.network_shapes, self.planes(), still

    @property
    def means_bytes(self) -> int:
        """Bytes of the running means, which are kept from bracket to bracket."""
        return 4 * (1 + DRIFT_NUMBERS * (self.exposures - 1) * self.small_shape[0] * self.small_shape[1])

    def network_plane_bytes(self, small: bool) -> int:
        """Bytes of one plane of the network's input."""
        height, width = self.network_shape(small)
        return height * width * (2 if self.half else 4)

    def bracket(
        self, small: bool, pictures: Sequence[Picture], out: Picture, addresses: Mapping[str, int], share: float = 1.0
    ) -> Bracket:
        """The kernels' argument for the steps on the small picture, or for those on the whole one.

        addresses: of the planes, of the tables, and of `means`. share: of this bracket in those.
        """
        settings, shape = self.settings, self.small_shape
        network = (0, 0) if small and not self._runs_small else self.network_shape(small or not self.full)
        fused = shape if small or not self.full else (self.height, self.width)
        return Bracket(
            constants=constants(settings.shoulder),
            pictures=(c_uint64 * MOST_EXPOSURES)(*(picture.address for picture in pictures)),
            strides=(c_int64 * MOST_EXPOSURES)(*(picture.stride for picture in pictures)),
            out=out.address,
            out_stride=out.stride,
            **{name: address for name, address in addresses.items() if name != "grids"},
            window_eps=settings.window_eps,
            height=self.height,
            width=self.width,
            small_height=shape[0],
            small_width=shape[1],
            sums_pitch=self._sums_pitch,
            network_height=network[0],
            network_width=network[1],
            fused_height=fused[0],
            fused_width=fused[1],
            half=self.half,
            fine_steps=FINE_STEPS,
            encode_steps=ENCODE_STEPS[self.itemsize],
            window_radius=settings.window_radius,
            chroma_radius=CHROMA_RADIUS,
            exposures=self.exposures,
            select=settings.chroma == "select",
            transfer=TRANSFERS.index(settings.colour),
            full=self.full,
            drift_radius=drift.RADII[0],
            chroma_offset=chroma_map.CHROMA_OFFSET,
            adaptive_target=settings.adaptive_target,
            lowest_exponent=ADAPTIVE_RANGE[0],
            highest_exponent=ADAPTIVE_RANGE[1],
            white=settings.white,
            most_whitening=MOST_WHITENING,
            top_part=TOP_PART,
            top_step=TOP_STEP,
            drift_fall=drift.FALL,
            drift_prior=drift.prior(),
            drift_strength=drift.STRENGTH,
            black_start=surround.BLACK_RAMP[0],
            black_scale=1 / (surround.BLACK_RAMP[1] - surround.BLACK_RAMP[0]),
            surround_scale=1 / surround.SURE,
            least_seen=surround.LEAST_SEEN,
            share=share,
        )

    def grid_bracket(self, pictures: Sequence[Picture], addresses: Mapping[str, int]) -> Bracket:
        """The argument of `grid_steps`: the same kernels, with the grid for a small picture."""
        bracket = self.bracket(True, pictures, Picture(0, 0), {"means": 0, **addresses})
        bracket.small_height, bracket.small_width = self.grid_shape
        bracket.small_bgr = addresses["grids"]
        return bracket


def offsets(sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Where each of several planes begins in one block of memory, and the block's size."""
    places, end = {}, 0
    for name, size in sizes.items():
        places[name] = end
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return places, max(end, ALIGNMENT)


@lru_cache(maxsize=2)
def tables(itemsize: int) -> dict[str, NDArray[Any]]:
    """The kernels' tables for pictures of 1 or 2 bytes a sample, by the name of their field in Bracket."""
    codes = 256**itemsize
    return {
        "decode": colour.decode_table(codes),
        "decode_fine": _entries(colour.decode(np.linspace(0, 1, FINE_STEPS + 1))),
        "encode": _entries(colour.encode_table(ENCODE_STEPS[itemsize]) * (codes - 1)),
    }


def _entries(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Each value and the step to the next, the last one's 0."""
    steps = np.append(np.diff(values), 0)
    return np.ascontiguousarray(np.stack([values, steps], axis=-1), np.float32)
