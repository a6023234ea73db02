"""The CPU runtime: runs a network with onnxruntime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.engine.errors import EngineError
from livemef.engine.model_file import read_model
from livemef.engine.ort import onnxruntime
from livemef.engine.runtime import DEFAULT_MULTIPLE, checked_multiple, pad_to_multiple


class OnnxLightnessNet:
    """A LightnessNet on the CPU. Deterministic: the same planes and number of threads give the same bits.

    Worker threads sleep between calls instead of spinning, since capture, fusion and preview share the cores. Thread-
    safe: calls from several threads share the workers.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """threads: None = one a physical core. Raises EngineError."""
        data = read_model(path)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._session = _session(path, data, threads)
        try:
            _check_interface(path, self._session)
            metadata = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise EngineError(f"model {path}: a name in it is not UTF-8 text; fetch it again") from error
        self.name = metadata.get("name", path.stem)
        self.multiple = checked_multiple(path, metadata.get("multiple", str(DEFAULT_MULTIPLE)))
        self._half = self._session.get_inputs()[0].type == "tensor(float16)"

    def __call__(self, dark: NDArray[np.float32], bright: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fused lightness 0..1; see LightnessNet. Raises ValueError where the planes differ in shape."""
        if dark.ndim != 2 or dark.shape != bright.shape:
            raise ValueError(f"two planes of one shape are needed, got {dark.shape} and {bright.shape}")
        height, width = dark.shape
        planes = np.stack([pad_to_multiple(dark, self.multiple), pad_to_multiple(bright, self.multiple)])
        planes = planes[np.newaxis].astype(np.float16 if self._half else np.float32, copy=False)
        fused = self._session.run(["fused"], {"lightness": planes})[0]
        cropped: NDArray[np.float32] = fused[0, 0, :height, :width].astype(np.float32, copy=False)
        return np.asarray(np.clip(cropped, 0.0, 1.0))


def _session(path: Path, data: bytes, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Without it, int8 products overflow 16 bits on x86 processors that lack VNNI, and the picture changes.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(data, options, providers, enable_fallback=False)  # it would print
    except Exception as error:  # onnxruntime's exceptions have no other common base
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise EngineError(
            f"model {path}: not an ONNX model that onnxruntime takes ({reason}); fetch it again"
        ) from error


def _check_interface(path: Path, session: Any) -> None:
    inputs = [(tensor.name, len(tensor.shape), tensor.shape[1:2]) for tensor in session.get_inputs()]
    outputs = [tensor.name for tensor in session.get_outputs()]
    if inputs != [("lightness", 4, [2])] or outputs != ["fused"]:
        raise EngineError(
            f"model {path}: not a livemef network: needs one input lightness [1,2,H,W] and one output fused [1,1,H,W], "
            f"has {[name for name, *_ in inputs]} and {outputs}"
        )
