"""Post-training int8 quantisation: quantise and dequantise layers (Q/DQ) around convolutions. Needs the package onnx.

The ranges of activations are calibrated by running the model on brackets. Symmetric, weights per channel, as TensorRT
requires; onnxruntime runs the same file on the CPU, so the loss of quality can be measured there.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import livemef.engine.ort  # noqa: F401  (before anything of onnxruntime: it switches its telemetry off)
from livemef.engine.errors import EngineError
from livemef.engine.precision import is_half, is_quantised, metadata, parsed
from livemef.engine.runtime import DEFAULT_MULTIPLE, checked_multiple, pad_to_multiple

Planes = tuple[NDArray[np.float32], NDArray[np.float32]]


def quantised(data: bytes, name: str, brackets: Iterable[Planes]) -> bytes:
    """The ONNX bytes of the quantised model, from those of an fp32 model.

    name: for messages. brackets: calibration data, pairs of float32 planes L*/100 of any size. Raises EngineError for a
    model that is not fp32, or if there is no bracket.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    model = parsed(data, name)
    if is_half(model) or is_quantised(model):
        raise EngineError(f"model {name}: only a model in fp32 can be quantised")
    multiple = checked_multiple(Path(name), metadata(model).get("multiple", str(DEFAULT_MULTIPLE)))
    inputs = [{"lightness": _stacked(planes, multiple)} for planes in brackets]
    if not inputs:
        raise EngineError("quantisation needs brackets to calibrate with; none was given")

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._waiting = iter(inputs)

        def get_next(self) -> Any:
            return next(self._waiting, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(data)
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=["unshuffle", "last"],  # they pass the inputs through at full precision
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )
        result = onnx.load(target)
    del result.metadata_props[:]
    onnx.helper.set_model_props(result, metadata(model))
    return bytes(result.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses onnxruntime's advice to pre-process the model, which has nothing to fold or rename."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _stacked(planes: Planes, multiple: int) -> NDArray[np.float32]:
    padded = [pad_to_multiple(plane.astype(np.float32), multiple) for plane in planes]
    return np.stack(padded)[np.newaxis]
