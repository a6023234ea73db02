"""The CUDA device as the driver describes it, by ctypes: needs no package, and reports errors where packages crash."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimedOut
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from livemef.engine.errors import EngineError

DRIVER_LIBRARY = "libcuda.so.1"
COMPUTE_MAJOR, COMPUTE_MINOR = 75, 76  # CUdevice_attribute, cuda.h
ANSWER_LIMIT_S = 20.0
"""For a driver that has to wake several GPUs first (no persistence mode)."""
CUDA_ERRORS = {100: "no CUDA device", 803: "driver and library versions differ", 999: "unknown error"}

Found = TypeVar("Found")


@dataclass(frozen=True)
class CudaDevice:
    """A GPU. compute: compute capability, such as "8.7". driver: its CUDA version, 1000 major + 10 minor, such
    as 12060. memory: bytes.
    """

    name: str
    compute: str
    driver: int
    memory: int


@lru_cache(maxsize=1)
def driver_library() -> Any:
    """NVIDIA's driver, for calls by ctypes where `first_device` has found one. Raises OSError if it is not here."""
    return ctypes.CDLL(DRIVER_LIBRARY)


def in_time(call: Callable[[], Found], limit_s: float) -> Found:
    """What a call to the driver returns. Raises EngineError if it does not return in time, as where the GPU has fallen
    off its bus: the call then stays in a thread that nobody waits for. Raises what the call raises.
    """
    future: Future[Found] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="CUDA driver", daemon=True).start()
    try:
        return future.result(limit_s)
    except TimedOut:
        raise EngineError(
            f"the NVIDIA driver does not answer within {limit_s:.0f} s: nvidia-smi should list the GPU; if that hangs "
            "too, start the machine again; --device cpu works without"
        ) from None


def first_device(limit_s: float = ANSWER_LIMIT_S) -> CudaDevice:
    """The GPU that livemef uses: the driver's first. Raises EngineError that names what is missing and the remedy, and
    if the driver does not answer in time.

    Call this before TensorRT is loaded: without a driver TensorRT ends the process.
    """
    return in_time(_first_device, limit_s)


def _first_device() -> CudaDevice:
    try:
        library = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError as error:
        raise EngineError(
            f"no NVIDIA driver ({error}): on a PC install it, on a Jetson it comes with JetPack; "
            "--device cpu works without"
        ) from error
    _call(library, "cuInit", 0)
    count = ctypes.c_int()
    _call(library, "cuDeviceGetCount", ctypes.byref(count))
    if count.value < 1:
        raise EngineError("the NVIDIA driver sees no GPU: in a container, start it with the NVIDIA runtime")
    return _described(library)


def _call(library: ctypes.CDLL, name: str, *arguments: Any) -> None:
    try:
        code = library[name](*arguments)
    except AttributeError:
        raise EngineError(
            f"{DRIVER_LIBRARY} has no {name}: it is not NVIDIA's driver, or one that is too old"
        ) from None
    if code:
        reason = CUDA_ERRORS.get(code, f"error {code}")
        raise EngineError(
            f"the NVIDIA driver does not work ({name}: {reason}): nvidia-smi should list the GPU; in a "
            "container, start it with the NVIDIA runtime; --device cpu works without"
        )


def _described(library: ctypes.CDLL) -> CudaDevice:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
    driver, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _call(library, "cuDeviceGet", ctypes.byref(device), 0)
    _call(library, "cuDeviceGetName", name, len(name), device)
    _call(library, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    _call(library, "cuDriverGetVersion", ctypes.byref(driver))
    _call(library, "cuDeviceGetAttribute", ctypes.byref(major), COMPUTE_MAJOR, device)
    _call(library, "cuDeviceGetAttribute", ctypes.byref(minor), COMPUTE_MINOR, device)
    return CudaDevice(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", driver.value, memory.value)
