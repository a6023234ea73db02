import numpy as np
import onnx
import pytest
from onnx import TensorProto

from livemef.engine import precision
from livemef.engine.errors import EngineError
from livemef.engine.open_net import find_model, open_net, shipped_models
from livemef.engine.quantization import quantised
from tests.engine.conftest import lightness_scene


def scenes(count):
    rng = np.random.default_rng(7)
    return [tuple(lightness_scene(rng, 90, 151)[:2]) for _ in range(count)]


@pytest.mark.parametrize("name", shipped_models())
def test_half_gives_nearly_what_the_whole_gives(tmp_path, name):
    path = find_model(name)
    model = precision.half(precision.parsed(path.read_bytes(), name), name)
    assert precision.is_half(model)
    assert precision.metadata(model)["name"] == name
    (tmp_path / "half.onnx").write_bytes(model.SerializeToString())
    pair = scenes(1)[0]
    difference = np.abs(open_net(tmp_path / "half.onnx")(*pair) - open_net(path)(*pair))
    assert 0 < difference.max() < 5e-3
    assert precision.half(model, name) is model


def test_what_is_not_known_is_not_rewritten():
    model = precision.parsed(find_model("cbm").read_bytes(), "cbm")
    model.graph.node[1].op_type = "InstanceNormalization"
    with pytest.raises(EngineError, match="InstanceNormalization"):
        precision.half(model, "cbm")


@pytest.mark.parametrize("data", [b"", b"not an ONNX file at all"])
def test_a_file_that_is_none_is_refused(data):
    with pytest.raises(EngineError, match="not a"):
        precision.parsed(data, "x.onnx")


@pytest.mark.parametrize("name", shipped_models())
def test_quantised_is_near_and_says_what_it_is(tmp_path, name):
    data = quantised(find_model(name).read_bytes(), name, scenes(3))
    model = onnx.load_model_from_string(data)
    assert precision.is_quantised(model)
    assert precision.half(model, name) is model
    assert precision.metadata(model)["multiple"] == "16"
    kinds = {weight.data_type for weight in model.graph.initializer}
    assert TensorProto.INT8 in kinds
    (tmp_path / "int8.onnx").write_bytes(data)
    pair = scenes(1)[0]
    difference = np.abs(open_net(tmp_path / "int8.onnx")(*pair) - open_net(name)(*pair))
    assert 0 < difference.mean() < 0.01
    with pytest.raises(EngineError, match="only a model in fp32"):
        quantised(data, name, scenes(1))


def test_quantising_needs_brackets():
    with pytest.raises(EngineError, match="needs brackets"):
        quantised(find_model("cbm").read_bytes(), "cbm", [])
