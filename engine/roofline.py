"""What a network costs at a size, layer by layer, read off its ONNX file: operations and bytes. No device is asked.

Roofline model: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model" (2009). Needs onnx.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from livemef.engine import precision
from livemef.engine.errors import EngineError
from livemef.engine.runtime import DEFAULT_MULTIPLE, checked_multiple

FREE = {"Relu", "Sigmoid", "Clip", "Reshape", "QuantizeLinear", "DequantizeLinear"}
"""Done in passing by the layer before, or only another view of the same memory."""


@dataclass(frozen=True)
class LayerCost:
    """operations: additions and multiplications; moved: bytes read and written, weights included."""

    name: str
    kind: str
    operations: int
    moved: int


def layer_costs(data: bytes, name: str, height: int, width: int, element: int = 2) -> list[LayerCost]:
    """Every layer that does work, for planes of height x width and `element` bytes a value.

    Each reads its inputs and writes its output once: what no cache saves. Raises EngineError.
    """
    model = precision.parsed(data, name)
    shapes = _shapes(model, name, height, width)
    weights = {weight.name: prod(weight.dims) for weight in model.graph.initializer}
    costs = []
    for node in model.graph.node:
        if node.op_type in FREE:
            continue
        made = prod(shapes[node.output[0]])
        read = sum(weights.get(source) or prod(shapes.get(source, (0,))) for source in node.input if source)
        operations = 0
        if node.op_type == "Conv":
            kernel = next(list(weight.dims) for weight in model.graph.initializer if weight.name == node.input[1])
            operations = 2 * made * prod(kernel[1:])
        costs.append(LayerCost(node.name, node.op_type, operations, (made + read) * element))
    return costs


def multiple_of(data: bytes, name: str) -> int:
    """What height and width of the network's input must be multiples of."""
    noted = precision.metadata(precision.parsed(data, name))
    return checked_multiple(Path(name), noted.get("multiple", str(DEFAULT_MULTIPLE)))


def _shapes(model: Any, name: str, height: int, width: int) -> dict[str, tuple[int, ...]]:
    import onnx

    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 2, height, width), strict=True):
        dimension.dim_value = size
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    shapes = {}
    for value in values:
        dims = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(dim.dim_value for dim in dims)
    shapes["fused"] = (1, 1, height, width)
    unknown = [value for value, shape in shapes.items() if 0 in shape]
    if unknown:
        raise EngineError(f"model {name}: the sizes of {', '.join(unknown[:3])} cannot be told from the file")
    return shapes
