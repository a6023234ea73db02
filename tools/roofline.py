"""`livemef bench --roofline`: what the silicon of some devices allows, from the network's file and the kernels' counts.

An estimate, not a measurement, and labelled so wherever it is shown. For every layer and kernel: the longer of its
operations over what the device computes and its bytes over what its memory moves, at the part of both that such work
reaches, and the time of a launch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from livemef.engine.open_net import find_model
from livemef.engine.roofline import LayerCost, layer_costs, multiple_of
from livemef.fusion.cuda.launch_plan import WINDOW_PLANES, PairPlan
from livemef.fusion.settings import FusionSettings

TENSOR_PART, MEMORY_PART, ISSUE_PART = 0.25, 0.7, 0.6
"""Parts of the peaks assumed to be reached: few channels leave tensor cores half empty. Within a factor of two."""

LAUNCH_S = 6e-6

FUSE_INSTRUCTIONS = 400
"""A pixel of the last kernel, counted in the shipped binary's code for sm_87."""

SUM_INSTRUCTIONS = 17
"""A pixel of both exposures in the first kernel: three loads, twelve times two, and the loop, for four pixels."""

REMAKE_INSTRUCTIONS = 200
"""A pixel of the exposure that motion compensation makes anew, about half of the code: most pixels need no more."""

FULL_LIGHTNESS_INSTRUCTIONS = 100
"""A pixel of both exposures, where the network sees every pixel."""

DOUBLE_COST, DOUBLES_TO_SOLVE = 64, 90
"""Issue slots of an operation in double precision on these GPUs, and how many of them a small pixel's window needs."""


@dataclass(frozen=True)
class Device:
    """Peaks, from NVIDIA's data sheets: dense fp16 on tensor cores, cores x clock, memory."""

    name: str
    tensor_flops: float
    issue_rate: float
    bandwidth: float


DEVICES = (
    Device("Jetson Orin Nano 8GB (625 MHz)", 10.2e12, 1024 * 0.625e9, 68e9),
    Device("Jetson AGX Orin 64GB", 42.6e12, 2048 * 1.3e9, 204.8e9),
    Device("Jetson AGX Thor (T5000)", 257e12, 2560 * 1.57e9, 273e9),
)


@dataclass(frozen=True)
class Work:
    """One kernel or layer: operations on tensor cores, instructions elsewhere, bytes."""

    name: str
    tensor: float = 0.0
    instructions: float = 0.0
    moved: float = 0.0

    def seconds(self, device: Device) -> float:
        """By the roofline, at the assumed parts."""
        computing = self.tensor / (device.tensor_flops * TENSOR_PART)
        issuing = self.instructions / (device.issue_rate * ISSUE_PART)
        return LAUNCH_S + max(computing, issuing, self.moved / (device.bandwidth * MEMORY_PART))

    def floor_seconds(self, device: Device) -> float:
        """At the peaks, with nothing lost."""
        computing = self.tensor / device.tensor_flops + self.instructions / device.issue_rate
        return max(computing, self.moved / device.bandwidth)


@dataclass(frozen=True)
class Estimate:
    """Milliseconds a bracket by estimate. Nothing here was measured."""

    device: str
    size: tuple[int, int]
    network_ms: float
    kernels_ms: float
    total_ms: float
    floor_ms: float
    operations: int
    bytes_moved: int

    def part_of_frame(self, hz: float) -> float:
        """Part 0.. of a frame's time that the GPU is busy."""
        return self.total_ms * hz / 1e3


def kernel_work(plan: PairPlan) -> list[Work]:
    """What the kernels of a bracket do, 8 or 16 bits."""
    pixels, cells = plan.height * plan.width, plan.small_shape[0] * plan.small_shape[1]
    picture = 3 * plan.itemsize * pixels
    sums = plan.planes()["row_sums"]
    taps = 2 * plan.settings.window_radius + 1
    work = [
        Work("sum_rows", instructions=SUM_INSTRUCTIONS * pixels, moved=2 * picture + sums),
        Work("sum_columns", instructions=2 * 6 * pixels / max(1, plan.height // plan.small_shape[0]), moved=sums),
        Work("small_lab", instructions=2 * 150 * cells, moved=60 * cells),
        Work("compensate_gamma", instructions=60 * cells, moved=8 * cells),
    ]
    planes = 2 if plan.full else WINDOW_PLANES
    work.append(Work("window_rows", instructions=planes * taps * 12 * cells, moved=planes * 8 * cells))
    solving = planes * taps * 5 + (0 if plan.full else DOUBLES_TO_SOLVE * DOUBLE_COST)
    work.append(Work("solve_windows", instructions=solving * cells, moved=planes * 8 * cells))
    if plan.full:
        work.append(Work("full_lightness", instructions=FULL_LIGHTNESS_INSTRUCTIONS * pixels, moved=2 * picture))
    else:
        work.append(Work("smooth_rows", instructions=3 * taps * 4 * cells, moved=24 * cells))
        work.append(Work("smooth_columns", instructions=3 * taps * 4 * cells, moved=28 * cells))
    if plan.settings.motion != "off":
        work.append(Work("remake", instructions=REMAKE_INSTRUCTIONS * pixels, moved=2 * picture))
    work.append(Work("fuse", instructions=FUSE_INSTRUCTIONS * pixels, moved=3 * picture + 16 * cells))
    return work


def network_work(costs: list[LayerCost]) -> list[Work]:
    """The network's layers, each a launch."""
    return [Work(cost.name, tensor=cost.operations, moved=cost.moved) for cost in costs]


def estimate(model: str, size: tuple[int, int], settings: FusionSettings, device: Device) -> Estimate:
    """For 8-bit pictures, width x height. Raises EngineError."""
    data = find_model(model).read_bytes()
    plan = PairPlan(size[1], size[0], 1, settings, multiple_of(data, model), half=True)
    layers = [work for shape in plan.network_shapes for work in network_work(layer_costs(data, model, *shape))]
    kernels = kernel_work(plan)
    network_ms, kernels_ms = (1e3 * sum(work.seconds(device) for work in part) for part in (layers, kernels))
    everything = [*layers, *kernels]
    return Estimate(
        device=device.name,
        size=size,
        network_ms=network_ms,
        kernels_ms=kernels_ms,
        total_ms=network_ms + kernels_ms,
        floor_ms=1e3 * sum(work.floor_seconds(device) for work in everything),
        operations=int(sum(work.tensor for work in layers)),
        bytes_moved=int(sum(work.moved for work in everything)),
    )


def as_json(estimates: list[Estimate]) -> str:
    """One line; `measured` is false."""
    values = [{key: _rounded(value) for key, value in asdict(one).items()} for one in estimates]
    return json.dumps({"measured": False, "estimates": values})


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def render(model: str, estimates: list[Estimate]) -> Table:
    """As a table."""
    width, height = estimates[0].size
    table = Table(title=f"Estimated, not measured: {model}, {width}x{height}", box=SIMPLE_HEAD)
    for name in ("device", "network ms", "kernels ms", "together", "of 60 Hz", "of 30 Hz", "floor ms"):
        table.add_column(name, justify="left" if name == "device" else "right")
    for one in estimates:
        numbers = [f"{value:.2f}" for value in (one.network_ms, one.kernels_ms, one.total_ms)]
        parts = [f"{100 * one.part_of_frame(hz):.0f} %" for hz in (60, 30)]
        table.add_row(one.device, *numbers, *parts, f"{one.floor_ms:.2f}")
    operations, moved = estimates[0].operations, estimates[0].bytes_moved
    table.caption = (
        f"a bracket: {operations / 1e9:.2f} G operations of the network, {moved / 1e6:.0f} MB moved; assumed: "
        f"{TENSOR_PART:.0%} of the tensor cores, {MEMORY_PART:.0%} of the memory, {ISSUE_PART:.0%} of the instructions"
    )
    return table
