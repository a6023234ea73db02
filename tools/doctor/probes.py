"""Checks that load foreign code (drivers, runtimes), each in a process of its own, which may crash or hang.

`python -m livemef.tools.doctor.probes NAME` prints the findings as JSON, one line.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from livemef.engine.tensorrt_build import MODULES
from livemef.tools.doctor.finding import Finding


def gpu() -> list[Finding]:
    """The CUDA device that livemef would use, the driver's first; no package is needed."""
    from livemef.engine.cuda_device import first_device
    from livemef.engine.errors import EngineError
    from livemef.fusion.open_fuser import driver_is_here

    area, name = "GPU", "CUDA"
    if not driver_is_here():
        remedy = "on a PC: install NVIDIA's driver; on a Jetson it comes with JetPack. The CPU path works without"
        return [Finding(area, name, "missing", "no NVIDIA driver (libcuda.so.1)", remedy)]
    try:
        device = first_device()
    except EngineError as error:
        what, _, remedy = str(error).rpartition(": ")
        return [Finding(area, name, "broken", what, remedy)]
    supports = f"CUDA {device.driver // 1000}.{device.driver % 1000 // 10}"
    memory = f"{device.memory / 2**30:.1f} GiB, compute {device.compute}"
    return [Finding(area, name, "ok", f"{supports}: {device.name} ({memory})")]


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

    from livemef.engine.open_net import MODELS, open_net
    from livemef.engine.ort import onnxruntime

    findings = [Finding("Network", "onnxruntime", "ok", onnxruntime.__version__, needed=True)]
    ramp = np.linspace(0, 1, 64 * 96, dtype=np.float32).reshape(64, 96)
    models = sorted(MODELS.glob("*.onnx"))
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
