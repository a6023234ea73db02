"""The GPU runtime: runs a network with TensorRT on the caller's CUDA stream; builds and caches the engines.

The interface takes device addresses and a stream handle, so pycuda is not needed. The caller's context must be current.
Not thread-safe.
"""

from __future__ import annotations

import ctypes
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from pathlib import Path
from typing import Any

from livemef.engine import precision, tensorrt_build
from livemef.engine.cuda_device import CudaDevice, driver_library, first_device
from livemef.engine.engine_cache import EngineCache
from livemef.engine.errors import EngineError, NoTensorRt
from livemef.engine.model_file import read_model
from livemef.engine.runtime import DEFAULT_MULTIPLE, checked_multiple
from livemef.engine.tensorrt_build import Built, OnProgress

MOST_GRAPHS = 8
TURN_S, BUILD_LIMIT_S = 0.5, 1800.0
CAPTURE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, cuda.h


class TensorRtNet:
    """A CudaNet. An fp32 model runs in fp16; one in fp16, or with Q/DQ layers, runs as it is.

    on_progress: called from the caller's thread, at least twice a second, while an engine is built, which takes from
    seconds to minutes. trt: the TensorRT module, None = the installed one.
    Raises EngineError: no device, no TensorRT (NoTensorRt), a file that is no network of livemef's.
    """

    def __init__(
        self, path: Path, on_progress: OnProgress | None = None, trt: Any = None, cache: EngineCache | None = None
    ) -> None:
        self._device = first_device()  # before TensorRT, which without a driver ends the process
        self._trt = trt or tensorrt_build.find_tensorrt()
        data = read_model(path)
        model = precision.half(precision.parsed(data, str(path)), str(path))
        noted = precision.metadata(model)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.name = noted.get("name", path.stem)
        self.multiple = checked_multiple(path, noted.get("multiple", str(DEFAULT_MULTIPLE)))
        self.half = precision.is_half(model)
        self._onnx = model.SerializeToString()
        self._log = tensorrt_build.logger(self._trt)
        self._runtime: Any = None
        self._cache = cache or EngineCache()
        self._on_progress = on_progress or (lambda line: None)
        self._runs: dict[tuple[int, int], _Run] = {}

    def check_device(self) -> None:
        """Raises NoTensorRt if TensorRT does not run on this GPU.

        TensorRT for RTX builds engines for any GPU, and only loading one shows whether it runs here (1.7 does not on
        compute capability 9.0): so a small one is built, in a fraction of a second. Others support what they build for.
        """
        if self._trt.__name__ == "tensorrt_rtx":
            self.prepare(self.multiple, self.multiple)

    def prepare(self, height: int, width: int) -> None:
        """See CudaNet."""
        if (height, width) not in self._runs:
            self._runs[height, width] = _Run(self._engine(height, width), height, width, self._log)

    def enqueue(self, height: int, width: int, lightness: int, fused: int, stream: int) -> None:
        """See CudaNet."""
        self._runs[height, width].enqueue(lightness, fused, stream)

    def _engine(self, height: int, width: int) -> Any:
        """The engine from the cache, else built now. A cached engine that does not load is built again, once."""
        runtime = self._runtime = self._runtime or self._trt.Runtime(self._log)
        facts = engine_facts(self._trt, self._device, self._onnx, height, width)
        kept = self._cache.load(facts)
        if kept is not None:
            engine = runtime.deserialize_cuda_engine(kept)
            if engine is not None:
                return engine
            self._cache.forget(facts)
        engine = runtime.deserialize_cuda_engine(self._built(facts, height, width))
        if engine is None:
            self._cache.forget(facts)
            raise NoTensorRt(f"TensorRT does not load the engine that it has just built: {self._log.reason()}")
        return engine

    def _built(self, facts: dict[str, Any], height: int, width: int) -> bytes:
        self._on_progress(f"building a TensorRT engine of {self.name} for {width}x{height}; this takes a while, once")
        timed = timing_facts(self._trt, self._device)
        timings = self._cache.timings(timed)
        built = self._with_progress(
            lambda on_step: tensorrt_build.build_engine(self._trt, self._onnx, height, width, timings, on_step)
        )
        self._cache.store(facts, built.engine)
        self._cache.store_timings(timed, built.timings)
        return built.engine

    def _with_progress(self, build: Callable[[OnProgress], Built]) -> Built:
        """Build in another thread while this one calls `on_progress`, which a watched process uses as its heartbeat."""
        done: Future[Built] = Future()
        newest = ["starting"]

        def work() -> None:
            try:
                done.set_result(build(lambda line: newest.__setitem__(0, line)))
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=work, name="tensorrt", daemon=True).start()
        deadline = time.monotonic() + BUILD_LIMIT_S
        while time.monotonic() < deadline:
            with suppress(FutureTimeout):
                return done.result(timeout=TURN_S)
            self._on_progress(f"building: {newest[0]}")
        raise EngineError(f"TensorRT has not built its engine within {BUILD_LIMIT_S / 60:.0f} minutes")


def timing_facts(trt: Any, device: CudaDevice) -> dict[str, Any]:
    """What the builder's layer timings depend on."""
    return {
        "tensorrt": f"{trt.__name__} {trt.__version__}",
        "gpu": device.name,
        "compute": device.compute,
        "driver": device.driver,
    }


def engine_facts(trt: Any, device: CudaDevice, onnx_model: bytes, height: int, width: int) -> dict[str, Any]:
    """What an engine depends on: the key of the cache."""
    return timing_facts(trt, device) | {
        "onnx_sha256": hashlib.sha256(onnx_model).hexdigest(),
        "shape": [height, width],
        "workspace": tensorrt_build.WORKSPACE_BYTES,
        "builder": tensorrt_build.BUILDER_VERSION,
    }


class _Run:
    """An engine with its execution context. The first run with given addresses is a plain launch, later ones replay a
    CUDA graph of it.
    """

    def __init__(self, engine: Any, height: int, width: int, log: Any) -> None:
        self._log = log
        self._engine = engine  # the context needs it alive
        self._context = context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT has not enough GPU memory for {width}x{height}: {log.reason()}")
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        if sorted(names) != ["fused", "lightness"]:
            raise EngineError(f"the engine has the inputs and outputs {', '.join(names)}, not lightness and fused")
        if not context.set_input_shape("lightness", (1, 2, height, width)):
            raise EngineError(f"the engine is not for {width}x{height}: {log.reason()}")
        self._graphs: dict[tuple[int, int, int], ctypes.c_void_p | None] = {}  # None: run once, not captured yet
        self._graphs_work = True

    def enqueue(self, lightness: int, fused: int, stream: int) -> None:
        """Enqueue one run; arguments as of CudaNet.enqueue. Raises EngineError."""
        key = lightness, fused, stream
        if self._graphs.get(key) is None and key in self._graphs and self._graphs_work:
            self._graphs[key] = self._captured(key)
        graph = self._graphs.get(key)
        if graph is not None:
            if driver_library().cuGraphLaunch(graph, ctypes.c_void_p(stream)):
                raise EngineError("the GPU failed to launch the network's graph")
            return
        self._execute(key)
        if len(self._graphs) >= MOST_GRAPHS:
            self._forget_graphs()
        self._graphs.setdefault(key, None)

    def _execute(self, key: tuple[int, int, int]) -> None:
        lightness, fused, stream = key
        context = self._context
        context.set_tensor_address("lightness", lightness)
        context.set_tensor_address("fused", fused)
        if not context.execute_async_v3(stream):
            raise EngineError(f"TensorRT could not run the network: {self._log.reason()}")

    def _captured(self, key: tuple[int, int, int]) -> ctypes.c_void_p | None:
        """The run captured as a CUDA graph; None if driver or engine do not support that, and plain launches go on."""
        driver, stream = driver_library(), ctypes.c_void_p(key[2])
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._graphs_work = False  # set again below if the capture succeeds
        if driver.cuStreamBeginCapture_v2(stream, CAPTURE_THREAD_LOCAL):
            return None
        try:
            self._execute(key)
        except EngineError:
            return None
        finally:
            ended = driver.cuStreamEndCapture(stream, ctypes.byref(graph))
        if ended or not graph.value:
            return None
        failed = driver.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        driver.cuGraphDestroy(graph)
        self._graphs_work = not failed
        return None if failed else executable

    def _forget_graphs(self) -> None:
        """Destroy all graphs: when the size of pictures changes, the planes get new addresses."""
        for executable in self._graphs.values():
            if executable is not None:
                driver_library().cuGraphExecDestroy(executable)
        self._graphs.clear()
