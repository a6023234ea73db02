"""`CudaFuser` with the real pycuda on a stand-in driver: a process of its own, since a process has one libcuda."""

import pytest

from tests.fusion.cuda.host_kernels import HERE
from tests.fusion.cuda.stand_in import run_on_stand_in

PYTEST = ("-m", "pytest", HERE / "on_stand_in.py", "-p", "no:cacheprovider")


@pytest.mark.parametrize("memory", ["discrete", "integrated"])
def test_end_to_end_on_the_stand_in(memory):
    variables = {"STAND_IN_INTEGRATED": "1"} if memory == "integrated" else {}
    done = run_on_stand_in(*PYTEST, **variables)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
