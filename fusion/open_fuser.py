"""Opens a fuser on a device."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from pathlib import Path

from livemef.engine.errors import EngineError
from livemef.fusion.errors import FusionError
from livemef.fusion.fuser import Fuser
from livemef.fusion.settings import FusionSettings

_LOG = logging.getLogger(__name__)


def open_fuser(
    settings: FusionSettings | None = None,
    model: str | Path = "cbm",
    device: str = "auto",
    threads: int | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Fuser:
    """Open a fuser.

    model: name of a shipped network, or an ONNX file. device: "cpu", "cuda" or "auto": CUDA if it is usable with these
    settings, else the CPU. If the network sees the whole picture (stills), "auto" is the CPU, since on CUDA each new
    picture size needs minutes of building; if a GPU cannot be used, a warning is logged. threads: CPU threads, None =
    one per usable core. on_progress: called with a line of text, at least twice a second, while a TensorRT engine is
    built.

    Raises FusionError for an unknown or unusable device, EngineError for a model that cannot be loaded.
    """
    settings = settings or FusionSettings()
    if device not in ("auto", "cpu", "cuda"):
        raise FusionError(f"device {device!r} is not available for fusion; use auto, cpu or cuda")
    if device == "cuda":
        return _cuda_fuser(settings, model, threads, on_progress)
    if device == "auto" and settings.network_lines and driver_is_here():
        try:
            return _cuda_fuser(settings, model, threads, on_progress)
        except (EngineError, FusionError) as error:
            _LOG.warning("fusing on the CPU: %s", error)
    from livemef.engine.open_net import open_net
    from livemef.fusion.cpu.fuser import CpuFuser

    return CpuFuser(open_net(model, "cpu", threads), settings, threads)


def _cuda_fuser(
    settings: FusionSettings, model: str | Path, threads: int | None, on_progress: Callable[[str], None] | None
) -> Fuser:
    from livemef.engine.open_net import open_cuda_net
    from livemef.fusion.cuda.fuser import CudaFuser

    return CudaFuser(open_cuda_net(model, on_progress, threads), settings, threads=threads)


def driver_is_here() -> bool:
    """Whether NVIDIA's driver library can be loaded. Quick, and needs no package."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
