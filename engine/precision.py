"""Number format of an ONNX model: fp32, fp16 or quantised; conversion from fp32 to fp16. Needs the package onnx."""

from __future__ import annotations

from typing import Any

import numpy as np

from livemef.engine.errors import EngineError

TAKEN = {"Conv", "Relu", "MaxPool", "Resize", "Concat", "Sigmoid", "Reshape", "Transpose", "Clip", "Add", "Mul"}
"""Operations that can be converted: all their floating-point inputs and outputs may be fp16."""


def parsed(data: bytes, name: str) -> Any:
    """The onnx.ModelProto of an ONNX file's bytes. name: for messages. Raises EngineError."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise EngineError("this needs the package onnx: pip install 'livemef[cuda]'") from error
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise EngineError(f"model {name}: not an ONNX file; fetch it again") from error
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (model.graph.input, model.graph.output))
    if inputs != ["lightness"] or outputs != ["fused"]:
        raise EngineError(
            f"model {name}: not a livemef network: needs the input lightness [1,2,H,W] and the output fused [1,1,H,W], "
            f"has {inputs} and {outputs}"
        )
    return model


def is_half(model: Any) -> bool:
    """Whether the model's input and output are fp16."""
    from onnx import TensorProto

    return bool(model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16)


def is_quantised(model: Any) -> bool:
    """Whether the model has quantised layers (Q/DQ)."""
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)


def half(model: Any, name: str) -> Any:
    """The model with weights, input and output in fp16; a model that is fp16 or quantised already is returned as it is.

    name: for messages. Raises EngineError for an operation that cannot be converted.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    if is_half(model) or is_quantised(model):
        return model
    unknown = sorted({node.op_type for node in model.graph.node} - TAKEN)
    if unknown:
        raise EngineError(f"model {name}: operations {', '.join(unknown)} are not rewritten in fp16; export it in fp16")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    # ONNX requires regions and scales of a Resize to be fp32, whatever it resizes.
    kept = {source for node in result.graph.node if node.op_type == "Resize" for source in node.input[1:]}
    for weight in result.graph.initializer:
        if weight.data_type == TensorProto.FLOAT and weight.name not in kept:
            values = numpy_helper.to_array(weight).astype(np.float16)
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    for tensor in (*result.graph.input, *result.graph.output):
        tensor.type.tensor_type.elem_type = TensorProto.FLOAT16
    del result.graph.value_info[:]
    onnx.checker.check_model(result, full_check=True)
    return result


def metadata(model: Any) -> dict[str, str]:
    """The key-value pairs of the file's metadata."""
    return {entry.key: entry.value for entry in model.metadata_props}
