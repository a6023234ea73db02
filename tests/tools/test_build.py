import importlib.util

import pytest

from tests.fusion.cuda.stand_in import run_on_stand_in
from tests.gpu_tools import lacking
from tests.tools.command import assert_one_line, livemef, write_scene


def test_without_a_driver_it_is_one_line(tmp_path):
    for arguments in ((), ("--kernels",)):
        assert_one_line(livemef("build", *arguments, XDG_CACHE_HOME=str(tmp_path)), "driver")


def test_a_size_that_is_none_is_one_line():
    assert_one_line(livemef("build", "--size", "big"), "--size")


@pytest.mark.full
def test_what_tensorrt_says_comes_through(tmp_path):
    """On the stand-in NVIDIA's builder works and its runtime does not: the engine is built, and not kept."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        lacking("no tensorrt-rtx: livemef build is not run")
    done = run_on_stand_in("-m", "livemef.tools.cli", "build", "--size", "640x480", XDG_CACHE_HOME=str(tmp_path))
    assert_one_line(done, "does not load the engine", "CUDA driver")
    folder = tmp_path / "livemef/engines"
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert not list(folder.glob("*.engine"))


def test_quantize_writes_a_network_that_runs(tmp_path):
    pytest.importorskip("onnx")
    scenes, model = tmp_path / "scenes", tmp_path / "int8.onnx"
    for seed in range(3):
        write_scene(scenes / f"scene{seed}", seed=seed)
    done = livemef("quantize", scenes, "-o", model)
    assert done.returncode == 0, done.stderr
    fused = livemef("fuse", scenes / "scene0/under.png", scenes / "scene0/over.png", "-o", tmp_path / "fused.png",
                    "--model", model)  # fmt: skip
    assert fused.returncode == 0, fused.stderr
    assert (tmp_path / "fused.png").exists()
    assert_one_line(livemef("quantize", scenes, "-o", tmp_path / "again.onnx", "--model", model), "fp32")
