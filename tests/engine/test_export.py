from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import onnx
import torch

from livemef.engine.export import onnx_model, write_onnx
from livemef.engine.onnx_runtime import OnnxLightnessNet
from livemef.engine.unet import LightnessUNet, NetShape

pytestmark = pytest.mark.full

ALLOWED = {"Conv", "Relu", "MaxPool", "Resize", "Concat", "Sigmoid", "Reshape", "Transpose"}


def random_net(widths: tuple[int, ...] = (8, 16, 24)) -> LightnessUNet:
    torch.manual_seed(11)
    net = LightnessUNet(NetShape(widths))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (72, 64)])
@pytest.mark.parametrize("widths", [(8, 16, 24), (16, 24, 32, 48), (8,)])
def test_onnx_gives_what_torch_gives(tmp_path: Path, widths: tuple[int, ...], height: int, width: int) -> None:
    net = random_net(widths)
    height, width = (-(-size // net.shape.multiple) * net.shape.multiple for size in (height, width))
    write_onnx(net, tmp_path / "net.onnx", {"name": "net"})
    planes = np.random.default_rng(1).random((1, 2, height, width), np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(planes)).clamp(0.0, 1.0)[0, 0].numpy()
    got = OnnxLightnessNet(tmp_path / "net.onnx", threads=1)(planes[0, 0], planes[0, 1])
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert np.ptp(got) > 0.01


def test_half_precision_is_close(tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = LightnessUNet(NetShape((8, 16)))
    write_onnx(net, tmp_path / "half.onnx", {}, half=True)
    planes = np.random.default_rng(1).random((1, 2, 32, 48), np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(planes)).clamp(0.0, 1.0)[0, 0].numpy()
    got = OnnxLightnessNet(tmp_path / "half.onnx")(planes[0, 0], planes[0, 1])
    assert 0.0 < np.abs(got - wanted).max() < 4e-3


@pytest.mark.parametrize("half", [False, True])
def test_only_operations_that_every_parser_knows(half: bool) -> None:
    model = onnx_model(random_net(), {"name": "x", "training": "none"}, half)
    assert {node.op_type for node in model.graph.node} <= ALLOWED
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "name": "x",
        "training": "none",
        "multiple": "8",
    }
    onnx.checker.check_model(model, full_check=True)


def test_the_file_is_whole_or_absent(tmp_path: Path) -> None:
    write_onnx(random_net(), tmp_path / "net.onnx", {})
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
