"""Nodes and tensors of an ONNX file, as far as livemef's own networks use them, without the package onnx.

The field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.engine.protobuf import NotProtobuf, fields, varint

_DTYPES: dict[int, type[np.generic]] = {1: np.float32, 7: np.int64}
"""By TensorProto.DataType."""


@dataclass(frozen=True)
class Node:
    """An operation. attributes: by name, whole numbers or text; other kinds of attributes are None."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, tuple[int, ...] | str | None]


@dataclass(frozen=True)
class Graph:
    """Nodes in order, tensors by name (float32 and int64 only, others are left out), metadata."""

    nodes: list[Node]
    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def read_graph(model: bytes) -> Graph:
    """The graph of an ONNX model. Raises ValueError (NotProtobuf, UnicodeDecodeError ...) where it is damaged."""
    nodes, tensors, metadata = [], {}, {}
    for number, value in fields(memoryview(model)):
        if number == 7:
            for kind, part in fields(_message(value)):
                if kind == 1:
                    nodes.append(_node(_message(part)))
                elif kind == 5:
                    tensors.update(_tensor(_message(part)))
        elif number == 14:
            entry = dict(fields(_message(value)))
            metadata[_text(entry[1])] = _text(entry[2])
    return Graph(nodes, tensors, metadata)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise NotProtobuf("a number where a message is due")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()


def _node(message: memoryview) -> Node:
    inputs, outputs, kind, attributes = [], [], "", {}
    for number, value in fields(message):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            kind = _text(value)
        elif number == 5:
            attributes.update(_attribute(_message(value)))
    return Node(kind, tuple(inputs), tuple(outputs), attributes)


def _attribute(message: memoryview) -> dict[str, tuple[int, ...] | str | None]:
    name, whole = "", list[int]()
    found: tuple[int, ...] | str | None = None
    for number, value in fields(message):
        if number == 1:
            name = _text(value)
        elif number in (3, 8):
            whole += list(_whole(value))
            found = tuple(whole)
        elif number == 4:
            found = _text(value)
    return {name: found}


def _tensor(message: memoryview) -> dict[str, NDArray[Any]]:
    shape: list[int] = []
    name, kind, raw = "", 0, b""
    for number, value in fields(message):
        if number == 1:
            shape += list(_whole(value))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = bytes(_message(value))
    dtype = _DTYPES.get(kind)
    if dtype is None:
        return {}
    return {name: np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype)}


def _whole(value: int | memoryview) -> Iterator[int]:
    """Whole numbers, alone or packed together."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        number, at = varint(value, at)
        yield number
