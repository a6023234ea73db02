"""The TensorRT runtime's host side on the stand-in driver: run by tests/fusion/cuda/test_fuser.py in its own process.

The builder is NVIDIA's own (TensorRT for RTX needs no GPU to build). Its runtime needs one, so here what is "loaded"
is an engine that launches the curve of the tests.
"""

import ctypes
from functools import partial

import numpy as np
import pytest
import tensorrt_rtx

from livemef.engine import tensorrt_build
from livemef.engine.engine_cache import EngineCache
from livemef.engine.errors import EngineError, NoTensorRt
from livemef.engine.net_on_host import NetOnHost
from livemef.engine.open_net import find_model, open_cuda_net, open_tensorrt_net
from livemef.engine.open_net import open_net as open_cpu_net
from livemef.engine.tensorrt_runtime import TensorRtNet
from livemef.fusion.cuda.fuser import CudaFuser
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve, scene
from tests.fusion.cuda.curve_on_device import KERNELS, CurveOnDevice
from tests.fusion.cuda.host_kernels import HostFuser

still = partial(FusionSettings, motion="off")

SETTINGS = still(network_lines=20)


class Context:
    def __init__(self, engine):
        self.engine, self.shape, self.addresses = engine, None, {}

    def set_input_shape(self, name, shape):
        self.shape = shape
        return name == "lightness" and shape[:2] == (1, 2)

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        self.engine.module.executed += 1
        curve = CurveOnDevice(half=True)
        curve.prepare(*self.shape[2:])
        curve.enqueue(*self.shape[2:], self.addresses["lightness"], self.addresses["fused"], stream)
        return not self.engine.module.failing


class Engine:
    num_io_tensors = 2

    def __init__(self, module):
        self.module = module

    def get_tensor_name(self, index):
        return ("lightness", "fused")[index]

    def create_execution_context(self):
        return Context(self)


class Module:
    """TensorRT for RTX, with a runtime that runs here."""

    def __init__(self):
        self.refused, self.built, self.executed, self.failing = [], 0, 0, False

    def __getattr__(self, name):
        return getattr(tensorrt_rtx, name)

    def Runtime(self, log):  # noqa: N802
        return self

    def Builder(self, log):  # noqa: N802
        self.built += 1
        return tensorrt_rtx.Builder(log)

    def deserialize_cuda_engine(self, engine):
        return self.refused.pop(0) if self.refused else Engine(self)


@pytest.fixture
def module():
    return Module()


def open_net(module, tmp_path, on_progress=None):
    return TensorRtNet(find_model("cbm"), on_progress, module, EngineCache(tmp_path / "engines"))


def test_where_tensorrt_does_not_run_on_the_gpu_the_network_runs_on_the_cpu(module, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tensorrt_build, "find_tensorrt", lambda: module)
    module.refused = [None]
    net = open_cuda_net("cbm")
    assert isinstance(net, NetOnHost)
    assert "the network runs on the CPU: TensorRT does not load" in caplog.text
    pair, wanted = scene(50, 70), np.empty((50, 70, 3), np.uint8)
    HostFuser(open_cpu_net("cbm", "cpu"), SETTINGS).fuse(pair, wanted)
    np.testing.assert_array_equal(CudaFuser(net, SETTINGS, KERNELS).fuse(pair).pixels, wanted)
    module.refused = [None]
    with pytest.raises(NoTensorRt):
        open_tensorrt_net("cbm")
    assert not isinstance(open_cuda_net("cbm"), NetOnHost)


def test_a_device_that_hangs_before_the_network_on_the_cpu_is_one_line(monkeypatch):
    monkeypatch.setattr("livemef.engine.net_on_host.WAIT_LIMIT_S", 0.2)
    fuser = CudaFuser(NetOnHost(Curve()), SETTINGS, KERNELS)
    monkeypatch.setenv("STAND_IN_FAULT", "hang")
    with pytest.raises(EngineError, match="has not answered"):
        fuser.fuse(scene(50, 70))


def fused_by_host(pair):
    out = np.empty_like(pair[0])
    HostFuser(Curve(), SETTINGS, half=True).fuse(pair, out)
    return out


def test_pictures_are_those_of_the_host_kernels_with_and_without_graphs(module, tmp_path):
    fuser = CudaFuser(open_net(module, tmp_path), SETTINGS, KERNELS)
    launches = ctypes.c_int.in_dll(ctypes.CDLL("libcuda.so.1"), "stand_in_graph_launches")
    before = launches.value
    for seed in range(8):
        pair = scene(50, 70, seed=seed)
        np.testing.assert_array_equal(fuser.fuse(pair).pixels, fused_by_host(pair))
    assert module.built == 1
    assert launches.value - before == 6  # each of the two lanes ran plainly once
    assert module.executed == 4  # and was captured once


def test_graphs_are_made_anew_when_the_planes_move(module, tmp_path):
    fuser = CudaFuser(open_net(module, tmp_path), SETTINGS, KERNELS)
    for shape in ((50, 70), (40, 50)) * 4:
        for _ in range(6):
            pair = scene(*shape)
            np.testing.assert_array_equal(fuser.fuse(pair).pixels, fused_by_host(pair))


def test_where_nothing_can_be_captured_plain_launches_go_on(module, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULT", "capture")
    fuser = CudaFuser(open_net(module, tmp_path), SETTINGS, KERNELS)
    for seed in range(5):
        pair = scene(50, 70, seed=seed)
        np.testing.assert_array_equal(fuser.fuse(pair).pixels, fused_by_host(pair))
    assert module.executed == 5


def test_a_plan_is_built_once_and_kept(module, tmp_path):
    progress = []
    open_net(module, tmp_path, progress.append).prepare(32, 48)
    assert any("building" in line and "48x32" in line for line in progress)
    open_net(module, tmp_path).prepare(32, 48)
    assert module.built == 1


def test_a_kept_plan_that_does_not_load_is_built_again_once(module, tmp_path):
    open_net(module, tmp_path).prepare(32, 48)
    module.refused = [None]
    open_net(module, tmp_path).prepare(32, 48)
    assert module.built == 2
    module.refused = [None, None]
    with pytest.raises(EngineError, match="just built"):
        open_net(module, tmp_path).prepare(32, 48)
    assert not list((tmp_path / "engines").glob("*.engine"))


def test_a_network_that_fails_is_one_line(module, tmp_path):
    fuser = CudaFuser(open_net(module, tmp_path), SETTINGS, KERNELS)
    fuser.fuse(scene(50, 70))
    module.failing = True
    with pytest.raises(EngineError, match="could not run"):
        fuser.fuse(scene(50, 70))


@pytest.mark.parametrize(("fault", "words"), [("init", "does not work"), ("none", "sees no GPU")])
def test_without_a_device_tensorrt_is_not_asked(module, tmp_path, monkeypatch, fault, words):
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(EngineError, match=words):
        open_net(module, tmp_path)
