"""Whether an ONNX file keeps weights in other files, found without parsing more of it than that takes.

Such weights would be read from the current folder and would not be part of the model's sha256, so they are refused.
The field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

from livemef.engine.protobuf import NotProtobuf, fields

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_DEEPEST = 64

_PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
"""Which fields of a message lead to tensors, and what messages they are."""


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of the ONNX model `model` lies outside the file. Raises NotProtobuf for damaged bytes."""
    return _search(memoryview(model), "model", 0)


def _search(message: memoryview, kind: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise NotProtobuf("graphs are nested too deeply")
    parts = _PARTS.get(kind, {})
    for number, value in fields(message):
        if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1)):
            return True
        if number in parts and isinstance(value, memoryview) and _search(value, parts[number], depth + 1):
            return True
    return False
