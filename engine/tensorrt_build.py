"""Builds a TensorRT engine from ONNX, on the device that will run it. The TensorRT module is a parameter: `tensorrt` or
`tensorrt_rtx`, whose Python API is the same as far as it is used here, from 10.3 (JetPack 6) to 11.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livemef.engine.errors import EngineError, NoTensorRt

MODULES = ("tensorrt", "tensorrt_rtx")
WORKSPACE_BYTES = 1 << 30
BUILDER_VERSION = 1
"""Part of the cache's key. Increase it to invalidate engines that were built by older versions of this file."""

OnProgress = Callable[[str], None]
"""Called with one line of text now and then while something long runs, maybe from another thread."""


@dataclass(frozen=True)
class Built:
    """A serialized engine, and the builder's timing cache, which speeds up the next build."""

    engine: bytes
    timings: bytes


def find_tensorrt() -> Any:
    """TensorRT's Python module: `tensorrt`, else `tensorrt_rtx`. Raises NoTensorRt if there is neither."""
    for name in MODULES:
        if importlib.util.find_spec(name) is not None:
            try:
                return importlib.import_module(name)
            except (ImportError, OSError) as error:
                raise NoTensorRt(f"{name} does not load ({error}); install it again") from error
    raise NoTensorRt(
        "no TensorRT: on a Jetson sudo apt install tensorrt, and a virtual environment made with "
        "--system-site-packages; on a PC pip install 'livemef[cuda]'"
    )


def build_engine(
    trt: Any, onnx_model: bytes, height: int, width: int, timings: bytes = b"", on_progress: OnProgress = print
) -> Built:
    """Build an engine for planes of height x width; number formats are those of the ONNX file (strongly typed).

    timings: the timing cache of an earlier build. on_progress: called with the builder's phase and step, from the
    builder's threads. Takes minutes on a small device. Raises EngineError with the parser's or the builder's message.
    """
    log = logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx_model):
        reasons = [_described(parser.get_error(index)) for index in range(parser.num_errors)]
        raise EngineError(f"TensorRT does not take this model: {_one_line(reasons) or log.reason()}")
    if network.num_inputs != 1:
        raise EngineError(
            f"TensorRT finds {network.num_inputs} inputs in this model, not one: it is no livemef network"
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.progress_monitor = _monitor(trt, on_progress)
    profile = builder.create_optimization_profile()
    shape = (1, 2, height, width)
    profile.set_shape(network.get_input(0).name, shape, shape, shape)
    config.add_optimization_profile(profile)
    cache = config.create_timing_cache(timings)
    config.set_timing_cache(cache, False)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise EngineError(f"TensorRT could not build an engine for {width}x{height}: {log.reason()}")
    return Built(bytes(serialized), bytes(cache.serialize()))


def logger(trt: Any) -> Any:
    """An ILogger that keeps errors: most failures of TensorRT return None and log the reason."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.lines.append(message)

        def reason(self) -> str:
            return _one_line(self.lines) or "it gave no reason"

    return Log()


def _monitor(trt: Any, on_progress: OnProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Reports phases and steps; the builder calls it from threads of its own."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            on_progress(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            on_progress(f"{phase_name}: {step + 1} of {self._steps.get(phase_name, 0)}")
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()


def _described(error: Any) -> str:
    return f"{error.desc()} (node {error.node_name()}, {error.node_operator()})"


def _one_line(lines: list[str]) -> str:
    return "; ".join(" ".join(line.split()) for line in lines[:3])
