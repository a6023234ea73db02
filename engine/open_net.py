"""Opens a network for a device: a shipped one by its name, or an ONNX file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from livemef.engine.errors import EngineError, NoTensorRt
from livemef.engine.model_file import read_model
from livemef.engine.runtime import CudaNet, LightnessNet

_LOG = logging.getLogger(__name__)

MODELS = Path(__file__).resolve().parent / "models"


def shipped_models() -> tuple[str, ...]:
    """Names of the models that come with livemef."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.onnx")))


def find_model(model: str | Path) -> Path:
    """Path of the shipped model of this name (such as "cbm"), else `model` as a path.

    Raises EngineError if there is neither.
    """
    shipped = MODELS / f"{model}.onnx"
    if isinstance(model, str) and model in shipped_models():
        return shipped
    if Path(model).is_file():
        return Path(model)
    names = ", ".join(shipped_models()) or "none"
    raise EngineError(
        f"model {str(model)!r}: neither a shipped model ({names}) nor an ONNX file; check the name or path"
    )


def open_net(model: str | Path = "cbm", device: str = "auto", threads: int | None = None) -> LightnessNet:
    """Open a model, by name or path, on the CPU: with loops made for livemef's own networks where these serve it and
    the processor, else with onnxruntime.

    device: "auto" or "cpu", which are the same here (`open_cuda_net` is for CUDA). threads: CPU threads; None = one a
    physical core. Raises EngineError for an unknown device, no model, or a file that is not a livemef network.
    """
    if device not in ("auto", "cpu"):
        raise EngineError(f"device {device!r}: this runtime knows auto and cpu; choose one of them")
    if threads is not None and threads < 1:
        raise EngineError(f"threads {threads}: must be at least 1")
    path = find_model(model)
    from livemef.engine.compiled_network import open_compiled

    compiled = open_compiled(path, read_model(path), threads)
    if compiled is not None:
        return compiled
    from livemef.engine.onnx_runtime import OnnxLightnessNet

    return OnnxLightnessNet(path, threads)


def open_cuda_net(
    model: str | Path = "cbm", on_progress: Callable[[str], None] | None = None, threads: int | None = None
) -> CudaNet:
    """Open a model, by name or path, for pictures on the CUDA device: with TensorRT, or, where none runs on this GPU,
    on the CPU, of which a warning is logged. on_progress, threads: as of `open_tensorrt_net`, `open_net`.

    Raises EngineError if there is no model or no device.
    """
    try:
        return open_tensorrt_net(model, on_progress)
    except NoTensorRt as error:
        _LOG.warning("the network runs on the CPU: %s", error)
    from livemef.engine.net_on_host import NetOnHost

    return NetOnHost(open_net(model, "cpu", threads))


def open_tensorrt_net(model: str | Path = "cbm", on_progress: Callable[[str], None] | None = None) -> CudaNet:
    """Open a model, by name or path, with TensorRT. on_progress: called while an engine is built.

    Raises EngineError if there is no model or no device, NoTensorRt if no TensorRT runs on this GPU.
    """
    path = find_model(model)
    from livemef.engine.tensorrt_runtime import TensorRtNet

    net = TensorRtNet(path, on_progress)
    net.check_device()
    return net
