"""Whether an ONNX graph is livemef's U-Net as `engine/export.py` writes it, and its layers' weights for plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.engine.onnx_graph import Graph, Node

LEVELS = 4
PLACES = 4
"""Places in a 2x2 cell."""

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A 3x3 convolution with ReLU.

    shape: outputs, channels, and 0; or for a layer on the join of `channels` of half the size, repeated, with `skip`
    channels: outputs, channels, skip. taps: inputs (tap, then channel) x outputs; for a join one such array for each
    place in a 2x2 cell, with 2x2 taps of the small planes before the 3x3 taps of the others.
    """

    upwards: bool
    shape: tuple[int, int, int]
    taps: list[Weights]
    bias: Weights


def is_unet(graph: Graph) -> bool:
    """Whether the graph is such a network with LEVELS levels in float32. Raises KeyError where a tensor is missing."""
    if graph.nodes != list(_nodes()):
        return False
    kernel, twice = graph.tensors["unshuffle.weight"], graph.tensors["twice"]
    shapes = {"split": [0, 0, 0, 2, 2], "join_columns": [0, 0, 0, -1], "join_rows": [0, 0, -1, 1]}
    return (
        np.array_equal(kernel.reshape(8, 8), np.eye(8))
        and kernel.shape == (8, 2, 2, 2)
        and twice.tolist() == [1, 1, 2, 2]
        and all(graph.tensors[f"shuffle.{name}.shape"].tolist() == shape for name, shape in shapes.items())
        and all(_has(graph, name, *shape) for name, shape in _shapes(graph))
    )


def _has(graph: Graph, name: str, *shape: int) -> bool:
    weights, bias = graph.tensors[f"{name}.weight"], graph.tensors[f"{name}.bias"]
    return weights.shape == shape and bias.shape == shape[:1] and weights.dtype == bias.dtype == np.float32


def _shapes(graph: Graph) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Name and shape of the weights of every layer, by the number of outputs of each level."""
    widths = [len(graph.tensors[f"down{level}.conv0.weight"]) for level in range(LEVELS)]
    inputs = [8, *widths]
    for level, width in enumerate(widths):
        yield f"down{level}.conv0", (width, inputs[level], 3, 3)
        yield f"down{level}.conv1", (width, width, 3, 3)
        if level < LEVELS - 1:
            yield f"up{level}.conv0", (width, widths[level + 1] + width, 3, 3)
            yield f"up{level}.conv1", (width, width, 3, 3)
    yield "last", (4, widths[0] + 8, 1, 1)


def layers(graph: Graph) -> Iterator[Layer]:
    """The layers of a graph that `is_unet`: first all on the way down, then all up, each finest first."""
    for name in _names():
        weights, bias = graph.tensors[f"{name}.weight"], graph.tensors[f"{name}.bias"]
        outs, inputs = weights.shape[:2]
        upwards = name.startswith("up")
        if upwards and name.endswith("conv0"):
            shape = outs, inputs - outs, outs
            yield Layer(True, shape, list(_places(weights, shape[1])), bias)
        else:
            yield Layer(upwards, (outs, inputs, 0), [_taps(weights)], bias)


def _taps(weights: Weights) -> Weights:
    """outputs x channels x rows x columns -> (tap, channel) x outputs."""
    return np.ascontiguousarray(weights.transpose(2, 3, 1, 0).reshape(-1, weights.shape[0]))


def _places(weights: Weights, channels: int) -> Iterator[Weights]:
    """The first `channels` come from planes of half the size, of which a 3x3 window touches 2x2 pixels only."""
    small = weights[:, :channels].astype(np.float64)
    for below in range(2):
        rows = _halved(small, below, 2)
        for right in range(2):
            cells = _halved(rows, right, 3).astype(np.float32)
            yield np.concatenate([_taps(cells), _taps(weights[:, channels:])])


def _halved(weights: NDArray[np.float64], second: int, axis: int) -> NDArray[np.float64]:
    """Three taps along `axis` as two taps of planes of half the size, for the first or the second pixel of a pair."""
    one, two, three = np.split(weights, 3, axis)
    return np.concatenate([one + two, three] if second else [one, two + three], axis)


def _names() -> Iterator[str]:
    for way, count in (("down", LEVELS), ("up", LEVELS - 1)):
        for level in range(count):
            yield from (f"{way}{level}.conv0", f"{way}{level}.conv1")


def _nodes() -> Iterator[Node]:
    """What `export.onnx_model` writes."""
    two, square = (2, 2), {"kernel_shape": (2, 2), "strides": (2, 2)}
    yield Node("Conv", ("lightness", "unshuffle.weight"), ("unshuffle",), dict(square))
    yield from _block("unshuffle", "down0")
    for level in range(1, LEVELS):
        yield Node("MaxPool", (f"down{level - 1}.relu1",), (f"pool{level}",), {"kernel_shape": two, "strides": two})
        yield from _block(f"pool{level}", f"down{level}")
    deep = f"down{LEVELS - 1}.relu1"
    for level in reversed(range(LEVELS - 1)):
        nearest = {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"}
        yield Node("Resize", (deep, "", "twice"), (f"resize{level}",), dict(nearest))
        yield Node("Concat", (f"resize{level}", f"down{level}.relu1"), (f"join{level}",), {"axis": (1,)})
        yield from _block(f"join{level}", f"up{level}")
        deep = f"up{level}.relu1"
    yield Node("Concat", (deep, "unshuffle"), ("join_inputs",), {"axis": (1,)})
    yield _convolution("join_inputs", "last", 1)
    source = "last"
    for name, order in (("cells_last", (0, 2, 3, 1)), ("rows", (0, 1, 3, 2, 4)), ("columns_first", (0, 3, 1, 2))):
        yield Node("Transpose", (source,), (f"shuffle.{name}",), {"perm": order})
        after = {"cells_last": "split", "rows": "join_columns", "columns_first": "join_rows"}[name]
        yield Node("Reshape", (f"shuffle.{name}", f"shuffle.{after}.shape"), (f"shuffle.{after}",), {})
        source = f"shuffle.{after}"
    yield Node("Transpose", (source,), ("fused",), {"perm": (0, 3, 2, 1)})


def _convolution(source: str, name: str, side: int) -> Node:
    attributes: dict[str, tuple[int, ...] | str | None] = {
        "kernel_shape": (side, side),
        "pads": (side // 2,) * 4,
    }
    return Node("Conv", (source, f"{name}.weight", f"{name}.bias"), (name,), attributes)


def _block(source: str, name: str) -> Iterator[Node]:
    for index in range(2):
        yield _convolution(source, f"{name}.conv{index}", 3)
        yield Node("Relu", (f"{name}.conv{index}",), (f"{name}.relu{index}",), {})
        source = f"{name}.relu{index}"
