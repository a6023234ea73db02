from collections import Counter

import onnx
import pytest
from onnx import TensorProto, helper

from livemef.engine.errors import EngineError
from livemef.engine.open_net import find_model
from livemef.engine.roofline import layer_costs, multiple_of


def test_a_convolution_costs_what_one_counts_by_hand():
    costs = {cost.name: cost for cost in layer_costs(find_model("cbm").read_bytes(), "cbm", 96, 160)}
    first = costs["down0.conv0"]  # 3x3, 8 channels to 16, at half the size
    assert first.operations == 2 * 48 * 80 * 16 * 8 * 9
    assert first.moved == 2 * (48 * 80 * (8 + 16) + 16 * 8 * 9 + 16)
    assert costs["pool1"].operations == 0
    assert costs["pool1"].moved == 2 * 16 * (48 * 80 + 24 * 40)


def test_operations_grow_with_the_pixels_and_layers_do_not():
    data = find_model("cbm").read_bytes()
    small, large = (layer_costs(data, "cbm", *shape) for shape in ((96, 160), (192, 320)))
    assert [cost.name for cost in small] == [cost.name for cost in large]
    assert sum(cost.operations for cost in large) == 4 * sum(cost.operations for cost in small)
    assert Counter(cost.kind for cost in small)["Conv"] == 16
    assert multiple_of(data, "cbm") == 16


def test_sizes_that_cannot_be_told_are_an_error():
    given = helper.make_tensor_value_info("lightness", TensorProto.FLOAT, [1, 2, "H", "W"])
    wanted = helper.make_tensor_value_info("fused", TensorProto.FLOAT, [1, 1, "H", "W"])
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, [4])
    node = helper.make_node("Reshape", ["lightness", "shape"], ["fused"])
    graph = helper.make_graph([node], "x", [given, shape], [wanted])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(EngineError, match="lightness"):
        layer_costs(onnx.ModelProto.SerializeToString(model), "x", 96, 160)
