"""Checks that load foreign code (drivers, runtimes), each in a process of its own, which may crash or hang.

`python -m livemef.tools.doctor.probes NAME` prints the findings as JSON, one line.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from livemef.engine.tensorrt_build import MODULES
from livemef.tools.doctor.finding import Finding

CUDA_ERRORS = {100: "no CUDA device", 803: "driver and library versions differ", 999: "unknown error"}
COMPUTE_MAJOR, COMPUTE_MINOR = 75, 76  # CUdevice_attribute, cuda.h


def _cuda_error(code: int) -> str:
    return CUDA_ERRORS.get(code, f"error {code}")


def _cuda_device(cuda: Any, index: int) -> str:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), COMPUTE_MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), COMPUTE_MINOR, device)
    return f"{name.value.decode()} ({memory.value / 2**30:.1f} GiB, compute {major.value}.{minor.value})"


def gpu() -> list[Finding]:
    """The CUDA driver and its devices, by ctypes: no package is needed."""
    area, name = "GPU", "CUDA"
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        remedy = "on a PC: install NVIDIA's driver; on a Jetson it comes with JetPack. The CPU path works without"
        return [Finding(area, name, "missing", "no NVIDIA driver (libcuda.so.1)", remedy)]
    if code := cuda.cuInit(0):
        remedy = "nvidia-smi should list the GPU; in a container, start it with the NVIDIA runtime"
        return [Finding(area, name, "broken", f"cuInit: {_cuda_error(code)}", remedy)]
    count, driver = ctypes.c_int(), ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    cuda.cuDriverGetVersion(ctypes.byref(driver))
    devices = [_cuda_device(cuda, index) for index in range(count.value)]
    supports = f"CUDA {driver.value // 1000}.{driver.value % 1000 // 10}"
    if not devices:
        return [Finding(area, name, "missing", f"driver for {supports}, no device", "make the GPU visible")]
    return [Finding(area, name, "ok", f"{supports}: {', '.join(devices)}")]


def tensorrt() -> list[Finding]:
    """TensorRT and pycuda, the fast path on a GPU."""
    findings = []
    trt = next((name for name in MODULES if importlib.util.find_spec(name) is not None), MODULES[0])
    for module, remedy in (
        (trt, "on a Jetson: sudo apt install tensorrt; on a PC: pip install 'livemef[cuda]'"),
        ("pycuda", "pip install 'livemef[cuda]' (compiles: needs the CUDA toolkit)"),
    ):
        if importlib.util.find_spec(module) is None:
            findings.append(Finding("GPU", module, "missing", "needed for the GPU path only", remedy))
            continue
        try:
            version = getattr(importlib.import_module(module), "__version__", None) or "present"
            if module == "pycuda":
                importlib.import_module("pycuda.driver")
                version = getattr(importlib.import_module("pycuda"), "VERSION_TEXT", version)
            findings.append(Finding("GPU", module, "ok", str(version)))
        except Exception as error:
            findings.append(Finding("GPU", module, "broken", f"import fails: {error}", remedy))
    return findings


def argus() -> list[Finding]:
    """The Jetson's CSI cameras, through GStreamer."""
    area, name = "Cameras", "Argus (Jetson CSI)"
    remedy = "on a Jetson: sudo apt install python3-gi gstreamer1.0-tools nvidia-l4t-gstreamer; elsewhere not to be had"
    if importlib.util.find_spec("gi") is None:
        return [Finding(area, name, "missing", "no PyGObject, so no GStreamer", remedy)]
    try:
        gi: Any = importlib.import_module("gi")
        gi.require_version("Gst", "1.0")
        gst: Any = importlib.import_module("gi.repository.Gst")
        gst.init(None)
    except (ImportError, ValueError) as error:
        return [Finding(area, name, "missing", f"no GStreamer for Python: {error}", remedy)]
    if gst.ElementFactory.find("nvarguscamerasrc") is None:
        return [Finding(area, name, "missing", f"{gst.version_string()}, without nvarguscamerasrc", remedy)]
    return [Finding(area, name, "ok", f"{gst.version_string()} with nvarguscamerasrc")]


def network() -> list[Finding]:
    """The ONNX runtime, and every shipped network loaded and run once."""
    import numpy as np

    from livemef import engine
    from livemef.engine.open_net import open_net
    from livemef.engine.ort import onnxruntime

    findings = [Finding("Network", "onnxruntime", "ok", onnxruntime.__version__, needed=True)]
    ramp = np.linspace(0, 1, 64 * 96, dtype=np.float32).reshape(64, 96)
    models = sorted((Path(engine.__file__).parent / "models").glob("*.onnx"))
    if not models:
        findings.append(
            Finding("Network", "models", "missing", "no shipped network in engine/models", "reinstall livemef", True)
        )
    for path in models:
        net = open_net(path, "cpu", 1)
        started = time.perf_counter()
        fused = net(ramp / np.float32(2), ramp)
        milliseconds = (time.perf_counter() - started) * 1e3
        sound = fused.shape == ramp.shape and bool(np.isfinite(fused).all())
        detail = f"{net.name}, {net.sha256[:12]}; first run on 96x64 took {milliseconds:.1f} ms"
        remedy = "" if sound else "it gives no sane lightness: reinstall livemef"
        findings.append(Finding("Network", path.name, "ok" if sound else "broken", detail, remedy, True))
    return findings


def _round_trip(context: Any, endpoint: str) -> float:
    import zmq

    receiver, sender = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    try:
        receiver.bind(endpoint)
        sender.connect(receiver.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0"))
        started = time.perf_counter()
        sender.send(b"ping")
        if not receiver.poll(2000) or receiver.recv() != b"ping":
            raise TimeoutError("a message did not arrive within 2 s")
        return (time.perf_counter() - started) * 1e3
    finally:
        receiver.close(0)
        sender.close(0)


def zeromq() -> list[Finding]:
    """ZeroMQ's version, and one message over each transport."""
    import zmq

    findings = [
        Finding("Publishing", "ZeroMQ", "ok", f"libzmq {zmq.zmq_version()}, pyzmq {zmq.pyzmq_version()}", "", True)
    ]
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        for transport, endpoint, remedy in (
            ("tcp", "tcp://127.0.0.1:*", "is the loopback interface up, and does a firewall block it?"),
            ("ipc", f"ipc://{folder}/doctor", "this libzmq has no ipc, or the temporary folder refuses sockets"),
        ):
            try:
                milliseconds = _round_trip(context, endpoint)
                findings.append(Finding("Publishing", transport, "ok", f"message in {milliseconds:.2f} ms", "", True))
            except (zmq.ZMQError, TimeoutError) as error:
                findings.append(Finding("Publishing", transport, "broken", str(error), remedy, True))
    return findings


def pixels() -> list[Finding]:
    """Whether the pixel loops are the compiled ones."""
    from livemef.fusion.kernels.shared_library import compiled

    if compiled():
        return [Finding("Fusion", "compiled pixel loops", "ok", "built for this machine")]
    remedy = "install a C compiler (sudo apt install gcc) and install livemef again; until then the slow path is used"
    return [Finding("Fusion", "compiled pixel loops", "missing", "the portable numpy loops are used", remedy)]


def simulated_camera() -> list[Finding]:
    """The simulated camera delivers a frame: everything up to the fusion works without a device."""
    from livemef.capture.cameras.registry import open_camera

    camera = open_camera("sim://?scene=bars&size=320x180&pace=fast")
    try:
        camera.start()
        frame = camera.read(5.0)
        height, width = frame.pixels.shape[:2]
        return [
            Finding(
                "Cameras", "simulated", "ok", f"sim:// gives frames, {width}x{height} {frame.pixels.dtype}", "", True
            )
        ]
    finally:
        camera.close()


PROBES: dict[str, Callable[[], list[Finding]]] = {
    "simulated_camera": simulated_camera,
    "argus": argus,
    "gpu": gpu,
    "tensorrt": tensorrt,
    "network": network,
    "pixels": pixels,
    "zeromq": zeromq,
}


def main(name: str) -> int:
    """Run one probe; its findings go to the standard output, what libraries print goes to the standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    findings = [asdict(finding) for finding in PROBES[name]()]
    out.write(json.dumps(findings) + "\n")
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
