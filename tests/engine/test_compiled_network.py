from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from livemef.engine import compiled_network
from livemef.engine.compiled_network import CompiledLightnessNet, open_compiled
from livemef.engine.errors import EngineError
from livemef.engine.onnx_graph import read_graph
from livemef.engine.onnx_runtime import OnnxLightnessNet
from livemef.engine.open_net import find_model, open_net, shipped_models
from livemef.engine.processor import VARIABLE
from livemef.engine.unet_graph import is_unet

compiled = pytest.mark.skipif(compiled_network._library() is None, reason="no compiled network for this processor")


def planes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height * 1000 + width)
    return rng.random((height, width), np.float32), rng.random((height, width), np.float32)


class Late:
    """A pool all of whose threads are busy elsewhere."""

    def __init__(self) -> None:
        self.works: list[tuple[Callable[[int], None], int]] = []

    def submit(self, work: Callable[[int], None], member: int) -> None:
        self.works.append((work, member))


@compiled
@pytest.mark.parametrize("model", shipped_models())
@pytest.mark.parametrize("size", [(90, 160), (160, 90), (1, 1), (16, 16), (17, 33), (7, 200), (135, 241), (90, 1)])
def test_it_gives_what_onnxruntime_gives(model: str, size: tuple[int, int]) -> None:
    net, reference = open_net(model, threads=1), OnnxLightnessNet(find_model(model), 1)
    assert isinstance(net, CompiledLightnessNet)
    assert (net.sha256, net.name, net.multiple) == (reference.sha256, reference.name, reference.multiple)
    for dark, bright in (planes(*size), (np.zeros(size, np.float32), np.ones(size, np.float32))):
        wanted, rounded = reference(dark, bright), net(dark, bright)
        np.testing.assert_allclose(rounded, wanted, atol=0.01)
        assert abs(float(np.mean(rounded - wanted))) < 1e-3
        net._quick = net._exact
        np.testing.assert_allclose(net(dark, bright), wanted, atol=2e-6)


@compiled
def test_only_small_planes_are_rounded() -> None:
    net = open_net("cbm", threads=1)
    if net._quick is net._exact:
        pytest.skip("this processor does not multiply bfloat16, or LIVEMEF_CPU forbids it")
    small, large = planes(128, 256), planes(129, 256)
    assert small[0].size == compiled_network.ROUNDED_UP_TO
    rounded, exact = net(*small), net(*large)
    net._quick = net._exact
    assert 1e-6 < np.abs(rounded - net(*small)).max() < 0.01
    np.testing.assert_array_equal(exact, net(*large))


def test_bfloat16_is_the_nearest() -> None:
    """1 is followed by 1 + 2^-7; what lies between them by half goes to the even one, 1."""
    values = np.array([0, 1, 1 + 2**-8, 1 + 1.01 * 2**-8, 1 + 3 * 2**-8, -1 - 1.01 * 2**-8, 1e-3], np.float32)
    floats = (compiled_network.bfloat16(values).astype(np.uint32) << 16).view(np.float32)
    assert floats[:6].tolist() == [0, 1, 1, 1 + 2**-7, 1 + 2**-6, -1 - 2**-7]
    assert abs(floats[6] / 1e-3 - 1) <= 2**-9


@compiled
def test_threads_and_order_of_sizes_change_no_bit() -> None:
    nets = [open_net("cbm", threads=threads) for threads in (1, 2, 3, 20)]
    for size in ((160, 90), (96, 160), (160, 90), (200, 33), (600, 40)):
        first, *others = [net(*planes(*size)) for net in nets]
        for other in others:
            np.testing.assert_array_equal(first, other)


@compiled
def test_threads_that_come_late_are_not_waited_for_and_change_nothing() -> None:
    net, late = open_net("cbm", threads=4), Late()
    wanted = open_net("cbm", threads=1)(*planes(160, 160))
    net._pool = late
    fused = net(*planes(160, 160))
    np.testing.assert_array_equal(fused, wanted)
    net(*planes(160, 96))
    assert len(late.works) == 6
    for work, member in late.works:
        work(member)
    np.testing.assert_array_equal(fused, wanted)
    np.testing.assert_array_equal(net(*planes(160, 160)), wanted)


@compiled
def test_large_planes_do_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_network, "MOST_KEPT", 1 << 18)
    net = open_net("cbm", threads=1)
    wanted = net(*planes(160, 160))
    assert net._quick._memory[1].nbytes == 0
    np.testing.assert_array_equal(net(*planes(160, 160)), wanted)


@compiled
def test_strided_and_other_planes_are_taken() -> None:
    net = open_net("cbm", threads=1)
    dark, bright = planes(64, 96)
    np.testing.assert_array_equal(
        net(dark[::2, ::3], bright[::2, ::3].astype(np.float64)), net(dark[::2, ::3].copy(), bright[::2, ::3].copy())
    )


def test_onnxruntime_serves_where_no_loops_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "any")
    compiled_network._library.cache_clear()
    try:
        assert isinstance(open_net("cbm"), OnnxLightnessNet)
    finally:
        monkeypatch.delenv(VARIABLE)
        compiled_network._library.cache_clear()


def _other_kernel(model: onnx.ModelProto) -> None:
    next(weight for weight in model.graph.initializer if weight.name == "unshuffle.weight").raw_data = bytes(256)


def _other_padding(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute[1].ints[0] = 0


def _other_node(model: onnx.ModelProto) -> None:
    model.graph.node[2].op_type = "Sigmoid"


def _half(model: onnx.ModelProto) -> None:
    for index, weight in enumerate(model.graph.initializer):
        if weight.name == "down1.conv0.weight":
            values = numpy_helper.to_array(weight).astype(np.float16)
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, weight.name))


def _other_width(model: onnx.ModelProto) -> None:
    for index, weight in enumerate(model.graph.initializer):
        if weight.name.startswith("down3.conv"):
            values = numpy_helper.to_array(weight)
            values = values[:40] if weight.name.startswith("down3.conv0") else values
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, weight.name))


def _narrower(model: onnx.ModelProto) -> None:
    for index, weight in enumerate(model.graph.initializer):
        if weight.name == "down1.conv1.weight":
            values = np.ascontiguousarray(numpy_helper.to_array(weight)[:, :16])
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, weight.name))


@pytest.mark.parametrize("change", [_narrower, _other_kernel, _other_padding, _other_node, _half, _other_width])
def test_another_network_is_not_taken_for_ours(change: Callable[[onnx.ModelProto], None]) -> None:
    path = find_model("cbm")
    model = onnx.load(path)
    assert is_unet(read_graph(model.SerializeToString()))
    change(model)
    assert open_compiled(path, model.SerializeToString(), 1) is None


def test_the_graph_is_read_as_onnx_reads_it() -> None:
    path = find_model("cbm")
    graph, model = read_graph(path.read_bytes()), onnx.load(path)
    assert [(node.kind, node.inputs, node.outputs) for node in graph.nodes] == [
        (node.op_type, tuple(node.input), tuple(node.output)) for node in model.graph.node
    ]
    assert graph.metadata == {entry.key: entry.value for entry in model.metadata_props}
    for weight in model.graph.initializer:
        np.testing.assert_array_equal(graph.tensors[weight.name], numpy_helper.to_array(weight))


DAMAGED = find_model("cbm").read_bytes()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(DAMAGED) - 1), st.binary(min_size=1, max_size=12))
def test_damage_is_no_crash(at: int, noise: bytes) -> None:
    damaged = DAMAGED[:at] + noise + DAMAGED[at + len(noise) :]
    try:
        net = open_compiled(Path("damaged.onnx"), damaged, 1)
    except EngineError:
        return
    if net is not None:
        assert net(*planes(16, 16)).shape == (16, 16)
