"""Writes a trained network as ONNX, node by node: full control over the operations, no tracing.

Opset 17, dynamic height and width, fp32 or fp16. Pixel unshuffle is a stride-2 convolution with a kernel of
ones and zeros; the pixel shuffle at the end is Reshape and Transpose with constant shapes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from livemef.engine.unet import INPUTS, UNSHUFFLE, LightnessUNet

OPSET = 17
IR_VERSION = 8


class _Graph:
    """Collects nodes and weights in order. Every method returns the name of the tensor that it added."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, values: NDArray[Any], name: str) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def convolution(self, source: str, layer: Any, name: str) -> str:
        size = layer.kernel_size[0]
        kernel = self.weight(layer.weight.detach().numpy().astype(self.dtype), f"{name}.weight")
        bias = self.weight(layer.bias.detach().numpy().astype(self.dtype), f"{name}.bias")
        pads = [size // 2] * 4
        return self.node("Conv", [source, kernel, bias], name, kernel_shape=[size, size], pads=pads)

    def block(self, source: str, layers: Any, name: str) -> str:
        for index in (0, 2):
            source = self.convolution(source, layers[index], f"{name}.conv{index // 2}")
            source = self.node("Relu", [source], f"{name}.relu{index // 2}")
        return source

    def unshuffle(self, source: str) -> str:
        cells = UNSHUFFLE**2
        kernel = np.zeros((INPUTS * cells, INPUTS, UNSHUFFLE, UNSHUFFLE), self.dtype)
        for channel in range(INPUTS * cells):
            plane, cell = divmod(channel, cells)
            kernel[channel, plane, cell // UNSHUFFLE, cell % UNSHUFFLE] = 1.0
        name = self.weight(kernel, "unshuffle.weight")
        sides = [UNSHUFFLE, UNSHUFFLE]
        return self.node("Conv", [source, name], "unshuffle", kernel_shape=sides, strides=sides)

    def reshape(self, source: str, shape: list[int], name: str) -> str:
        target = self.weight(np.array(shape, np.int64), f"{name}.shape")
        return self.node("Reshape", [source, target], name)

    def shuffle(self, source: str) -> str:
        """Pixel shuffle, [N,4,h,w] -> [N,1,2h,2w]. A 0 in a Reshape copies that dimension, so no size is computed."""
        source = self.node("Transpose", [source], "shuffle.cells_last", perm=[0, 2, 3, 1])  # N h w 4
        source = self.reshape(source, [0, 0, 0, UNSHUFFLE, UNSHUFFLE], "shuffle.split")  # N h w 2 2
        source = self.node("Transpose", [source], "shuffle.rows", perm=[0, 1, 3, 2, 4])  # N h 2 w 2
        source = self.reshape(source, [0, 0, 0, -1], "shuffle.join_columns")  # N h 2 2w
        source = self.node("Transpose", [source], "shuffle.columns_first", perm=[0, 3, 1, 2])  # N 2w h 2
        source = self.reshape(source, [0, 0, -1, 1], "shuffle.join_rows")  # N 2w 2h 1
        return self.node("Transpose", [source], "fused", perm=[0, 3, 2, 1])  # N 1 2h 2w


def onnx_model(net: LightnessUNet, metadata: Mapping[str, str], half: bool = False) -> Any:
    """The network as an onnx.ModelProto: input lightness [1,2,H,W], output fused [1,1,H,W].

    metadata: key-value pairs for the file's metadata; `multiple` (of the input's height and width) is added. half: fp16
    throughout, else fp32.
    """
    dtype, kind = (np.float16, TensorProto.FLOAT16) if half else (np.float32, TensorProto.FLOAT)
    graph = _Graph(dtype)
    _add_unet(graph, net)
    lightness = helper.make_tensor_value_info("lightness", kind, [1, INPUTS, "height", "width"])
    fused = helper.make_tensor_value_info("fused", kind, [1, 1, "height", "width"])
    proto = helper.make_graph(graph.nodes, "livemef", [lightness], [fused], graph.weights)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(proto, opset_imports=opset, ir_version=IR_VERSION, producer_name="livemef")
    helper.set_model_props(model, {**metadata, "multiple": str(net.shape.multiple)})
    onnx.checker.check_model(model, full_check=True)
    return model


def _add_unet(graph: _Graph, net: LightnessUNet) -> None:
    blocks = graph.unshuffle("lightness")
    features = graph.block(blocks, net.down[0], "down0")
    skips = [features]
    for index in range(1, len(net.down)):
        pooled = graph.node("MaxPool", [features], f"pool{index}", kernel_shape=[2, 2], strides=[2, 2])
        features = graph.block(pooled, net.down[index], f"down{index}")
        skips.append(features)
    scales = graph.weight(np.array([1, 1, 2, 2], np.float32), "twice")
    for index in reversed(range(len(net.up))):
        nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        finer = graph.node("Resize", [features, "", scales], f"resize{index}", **nearest)
        joined = graph.node("Concat", [finer, skips[index]], f"join{index}", axis=1)
        features = graph.block(joined, net.up[index], f"up{index}")
    joined = graph.node("Concat", [features, blocks], "join_inputs", axis=1)
    graph.shuffle(graph.convolution(joined, net.last, "last"))


def write_onnx(net: LightnessUNet, path: Path, metadata: Mapping[str, str], half: bool = False) -> None:
    """Write the network to `path`, atomically; arguments as of `onnx_model`. Raises OSError."""
    model = onnx_model(net.cpu(), metadata, half)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(model.SerializeToString())
    os.replace(partial, path)
