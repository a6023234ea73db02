import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from livemef.engine.errors import EngineError
from livemef.engine.open_net import find_model, open_net, shipped_models
from livemef.engine.runtime import pad_to_multiple


@pytest.fixture(scope="module")
def model() -> Path:
    return find_model("cbm")


def planes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height * 1000 + width)
    return rng.random((height, width), np.float32), rng.random((height, width), np.float32)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (16, 24), (135, 240), (33, 17)])
def test_any_size_goes_in_and_the_same_size_comes_out(model: Path, height: int, width: int) -> None:
    net = open_net(model, threads=1)
    dark, bright = planes(height, width)
    fused = net(dark, bright)
    assert fused.shape == (height, width)
    assert fused.dtype == np.float32
    assert fused.min() >= 0.0
    assert fused.max() <= 1.0
    padded = net(pad_to_multiple(dark, net.multiple), pad_to_multiple(bright, net.multiple))
    np.testing.assert_array_equal(fused, padded[:height, :width])


def test_padding_repeats_the_border() -> None:
    plane = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(pad_to_multiple(plane, 4)[:, 3], [2, 5, 5, 5])
    assert pad_to_multiple(plane, 1) is plane


def test_two_sessions_give_the_same_bits(model: Path) -> None:
    dark, bright = planes(64, 48)
    first = open_net(model, threads=2)(dark, bright)
    np.testing.assert_array_equal(first, open_net(model, threads=2)(dark, bright))


def test_a_net_knows_its_file(model: Path) -> None:
    net = open_net(model)
    assert (net.name, net.multiple) == ("cbm", 16)
    assert net.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()


def test_the_order_of_the_inputs_matters(model: Path) -> None:
    net = open_net(model)
    dark, bright = planes(32, 32)
    assert np.abs(net(dark, bright) - net(bright, dark)).max() > 1e-4


def test_planes_of_two_shapes_are_a_bug_of_the_caller(model: Path) -> None:
    with pytest.raises(ValueError, match="one shape"):
        open_net(model)(np.zeros((8, 8), np.float32), np.zeros((8, 9), np.float32))


def one_line(error: pytest.ExceptionInfo[EngineError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_corrupt_model_is_one_clear_line(tmp_path: Path, model: Path) -> None:
    for name, data in {"empty": b"", "noise": b"\x00\xff" * 500, "cut": model.read_bytes()[:2000]}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        with pytest.raises(EngineError) as error:
            open_net(path)
        one_line(error, str(path), "not an ONNX model")


def test_a_foreign_model_is_one_clear_line(tmp_path: Path) -> None:
    picture = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, "h", "w"])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["out"])], "foreign", [picture], [out])
    path = tmp_path / "foreign.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    with pytest.raises(EngineError) as error:
        open_net(path)
    one_line(error, "not a livemef network", "image")


def test_senseless_metadata_is_refused(tmp_path: Path, model: Path) -> None:
    proto = onnx.load(str(model))
    helper.set_model_props(proto, {"multiple": "-3"})
    path = tmp_path / "odd.onnx"
    onnx.save(proto, str(path))
    with pytest.raises(EngineError, match="multiple"):
        open_net(path)


def test_an_unknown_name_lists_the_shipped_models() -> None:
    with pytest.raises(EngineError) as error:
        open_net("cmb")
    one_line(error, "'cmb'", "cbm")


@pytest.mark.parametrize(("device", "threads"), [("tpu", None), ("cpu", 0)])
def test_device_and_threads_are_checked(model: Path, device: str, threads: int | None) -> None:
    with pytest.raises(EngineError):
        open_net(model, device=device, threads=threads)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_run_and_keep_the_order_of_lightness(name: str) -> None:
    net = open_net(name)
    level = np.full((48, 64), 0.5, np.float32)
    ramp = np.tile(np.linspace(0.0, 1.0, 64, dtype=np.float32), (48, 1))
    assert 0.3 < float(net(level, level).mean()) < 0.7
    fused = net(ramp * 0.4, np.clip(ramp * 1.8, 0.0, 1.0))
    assert np.corrcoef(fused.mean(axis=0), ramp[0])[0, 1] > 0.8
