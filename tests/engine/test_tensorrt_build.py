"""NVIDIA's own parser and builder (TensorRT for RTX, which needs no GPU to build) take every shipped model, in every
number format; and every name of TensorRT's API that the code touches is in every version from JetPack 6 to today."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from livemef.engine import precision, quantization, tensorrt_build, tensorrt_runtime
from livemef.engine.errors import EngineError
from livemef.engine.open_net import find_model, shipped_models
from tests.engine.conftest import lightness_scene
from tests.gpu_tools import lacking

NAMES = json.loads((Path(__file__).parent / "tensorrt_names.json").read_text())
"""Version -> class -> names, read off NVIDIA's bindings."""

RECEIVERS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "error": "ParserError",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
"""What the variables are called that hold TensorRT's objects in engine/tensorrt_*.py."""


@pytest.fixture(scope="module")
def trt():
    try:
        import tensorrt_rtx
    except ImportError:
        lacking("no tensorrt-rtx: NVIDIA's parser and builder are not asked")
    return tensorrt_rtx


def in_format(model: str, number_format: str) -> bytes:
    data = find_model(model).read_bytes()
    if number_format == "int8":
        rng = np.random.default_rng(3)
        return quantization.quantised(data, model, [tuple(lightness_scene(rng, 90, 160)[:2]) for _ in range(2)])
    if number_format == "fp16":
        return bytes(precision.half(precision.parsed(data, model), model).SerializeToString())
    return data


@pytest.mark.full
@pytest.mark.parametrize("number_format", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("model", shipped_models())
def test_every_shipped_model_is_built(trt, model, number_format):
    progress = []
    built = tensorrt_build.build_engine(trt, in_format(model, number_format), 96, 160, on_progress=progress.append)
    assert len(built.engine) > 100_000
    assert progress
    model = in_format(model, number_format)
    again = tensorrt_build.build_engine(trt, model, 1088, 1920, built.timings, progress.append)
    assert len(again.engine) > 100_000


def test_a_model_that_is_none_is_refused_with_the_parser_s_words(trt):
    model = precision.parsed(find_model("cbm").read_bytes(), "cbm")
    model.graph.node[2].op_type = "Nonsense"
    with pytest.raises(EngineError, match="Nonsense") as caught:
        tensorrt_build.build_engine(trt, model.SerializeToString(), 96, 160, on_progress=lambda line: None)
    assert len(str(caught.value).splitlines()) == 1


def test_a_size_that_does_not_fit_is_refused(trt):
    with pytest.raises(EngineError, match="171x97"):
        tensorrt_build.build_engine(trt, find_model("cbm").read_bytes(), 97, 171, on_progress=lambda line: None)


def touched() -> set[tuple[str, str]]:
    """(class or "trt", name) of all that the code touches of TensorRT."""
    found = set()
    for module in (tensorrt_build, tensorrt_runtime):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            if isinstance(node.value, ast.Name) and node.value.id in RECEIVERS and node.attr != "strerror":
                found.add((RECEIVERS[node.value.id], node.attr))
            elif ast.unparse(node.value) in ("trt", "self._trt"):
                found.add(("trt", node.attr))
            elif ast.unparse(node.value).startswith("trt."):
                found.add((ast.unparse(node.value).removeprefix("trt."), node.attr))
    return found


def test_the_search_for_names_finds_them():
    names = {f"{owner}.{name}" for owner, name in touched()}
    expected = {"Builder.build_serialized_network", "IExecutionContext.execute_async_v3", "trt.Runtime"}
    expected |= {"NetworkDefinitionCreationFlag.STRONGLY_TYPED", "MemoryPoolType.WORKSPACE", "ILogger.ERROR"}
    assert expected <= names


@pytest.mark.parametrize("version", sorted(NAMES))
def test_every_name_is_in_every_version(version):
    classes = NAMES[version]
    assert {"phase_start", "step_complete", "phase_finish"} <= set(classes["IProgressMonitor"])
    assert {"get_error", "num_errors"} <= set(classes["OnnxParser"])
    for owner, name in touched():
        if owner == "trt":
            assert name in {*classes, "__name__", "__version__"}, name
        elif not name.startswith("__"):
            assert name in classes[owner], f"{owner}.{name} is not in TensorRT {version}"


def test_without_tensorrt_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(tensorrt_build, "MODULES", ("no_such_tensorrt",))
    with pytest.raises(EngineError, match="no TensorRT"):
        tensorrt_build.find_tensorrt()
