"""`livemef build`: builds TensorRT engines or CUDA kernels for this device ahead of the first run."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from livemef.engine.cuda_device import first_device
from livemef.engine.errors import NoTensorRt
from livemef.engine.open_net import open_tensorrt_net
from livemef.fusion.cuda.launch_layout import BracketLayout
from livemef.fusion.kernels import build as kernels
from livemef.tools.bench.scene import parse_size
from livemef.tools.config.sources import load_config
from livemef.tools.options import ConfigOption, ModelOption, NetworkLinesOption


def build_command(
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Size of the camera's pictures.")] = "1920x1080",
    only_kernels: Annotated[
        bool, typer.Option("--kernels", help="Compile the CUDA kernels for this device instead; needs nvcc.")
    ] = False,
    model: ModelOption = None,
    network_lines: NetworkLinesOption = None,
    config: ConfigOption = None,
) -> None:
    """Build the network's TensorRT engine for pictures of a size, which `livemef run` then uses: minutes on a Jetson.

    An engine that is there already is not built again. Engines belong to this device, driver and TensorRT.

    Example: livemef build --size 1920x1080
    """
    if only_kernels:
        build_kernels()
        return
    flags = {"runtime.model": model, "fusion.network_lines": network_lines}
    loaded = load_config(config, flags).config
    width, height = parse_size(size)
    console = Console(stderr=True)
    with console.status("") as status:
        try:
            net = open_tensorrt_net(loaded.runtime.model, status.update)
        except NoTensorRt as error:
            raise NoTensorRt(f"nothing to build: {error}; with --device cuda the network runs on the CPU") from error
        for shape in BracketLayout(height, width, 1, loaded.fusion, net.multiple, net.half).network_shapes:
            began = time.monotonic()
            net.prepare(*shape)
            spent = time.monotonic() - began
            print(f"{net.name} for {shape[1]}x{shape[0]} (pictures of {size}): ready after {spent:.1f} s")


def build_kernels() -> None:
    """Compile the CUDA kernels for this device's GPU only. Raises EngineError, FusionError."""
    device = first_device()
    version = kernels.build((int(device.compute.replace(".", "")),))
    print(f"{kernels.BINARY}: for {device.name} (compute {device.compute}), by nvcc {version}")
