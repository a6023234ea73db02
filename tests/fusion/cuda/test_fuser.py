"""`CudaFuser` with the real pycuda on a stand-in driver: processes of their own, since a process has one libcuda."""

import importlib.util

import pytest

from tests.fusion.cuda.host_kernels import HERE
from tests.fusion.cuda.stand_in import run_on_stand_in
from tests.gpu_tools import lacking

pytestmark = pytest.mark.full


def assert_passes(name, **variables):
    done = run_on_stand_in("-m", "pytest", HERE / name, "-p", "no:cacheprovider", **variables)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("memory", ["discrete", "integrated"])
def test_the_fuser_end_to_end(memory):
    assert_passes("on_stand_in.py", **({"STAND_IN_INTEGRATED": "1"} if memory == "integrated" else {}))


def test_tensorrt_s_part():
    if importlib.util.find_spec("tensorrt_rtx") is None:
        lacking("no tensorrt-rtx: the TensorRT runtime's host side is not run")
    assert_passes("tensorrt_on_stand_in.py")
