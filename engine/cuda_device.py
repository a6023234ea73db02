"""The CUDA device as the driver describes it, by ctypes: needs no package, and reports errors where packages crash."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from livemef.engine.errors import EngineError

DRIVER_LIBRARY = "libcuda.so.1"
COMPUTE_MAJOR, COMPUTE_MINOR = 75, 76  # CUdevice_attribute, cuda.h
CUDA_ERRORS = {100: "no CUDA device", 803: "driver and library versions differ", 999: "unknown error"}


@dataclass(frozen=True)
class CudaDevice:
    """A GPU. compute: compute capability, such as "8.7". driver: its CUDA version, 1000 major + 10 minor, such
    as 12060. memory: bytes.
    """

    name: str
    compute: str
    driver: int
    memory: int


def first_device() -> CudaDevice:
    """The GPU that livemef uses: the driver's first. Raises EngineError that names what is missing and the remedy.

    Call this before TensorRT is loaded: without a driver TensorRT ends the process.
    """
    try:
        library = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError as error:
        raise EngineError(
            f"no NVIDIA driver ({DRIVER_LIBRARY}): on a PC install it, on a Jetson it comes with JetPack; "
            "--device cpu works without"
        ) from error
    if code := library.cuInit(0):
        raise EngineError(
            f"the NVIDIA driver does not start ({CUDA_ERRORS.get(code, f'error {code}')}): nvidia-smi should list the "
            "GPU; in a container, start it with the NVIDIA runtime"
        )
    count = ctypes.c_int()
    library.cuDeviceGetCount(ctypes.byref(count))
    if count.value < 1:
        raise EngineError("the NVIDIA driver sees no GPU; in a container, start it with the NVIDIA runtime")
    return _described(library)


def _described(library: Any) -> CudaDevice:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
    driver, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    library.cuDeviceGet(ctypes.byref(device), 0)
    library.cuDeviceGetName(name, len(name), device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    library.cuDriverGetVersion(ctypes.byref(driver))
    library.cuDeviceGetAttribute(ctypes.byref(major), COMPUTE_MAJOR, device)
    library.cuDeviceGetAttribute(ctypes.byref(minor), COMPUTE_MINOR, device)
    return CudaDevice(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", driver.value, memory.value)
