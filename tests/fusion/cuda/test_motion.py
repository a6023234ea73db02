"""The kernel of motion compensation, on the host, against the definition."""

import ctypes

import numpy as np
import pytest

from livemef.fusion.cuda.launch_layout import Picture, Step
from livemef.fusion.cuda.motion import Remake, RemakeBuffers
from livemef.fusion.motion import exposure_synthesis
from livemef.fusion.motion.registration import NO_MOVE, Move
from tests.fusion.brackets import noise
from tests.fusion.cuda.host_kernels import POISON, host_library, launch
from tests.fusion.motion.test_motion import compensation_for

pytestmark = pytest.mark.full


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (97, 131), (240, 300)])
@pytest.mark.parametrize("move", [NO_MOVE, Move(3.3, -2.6), Move(-500, 1), Move(0.4, 0.2, 0.03)])
@pytest.mark.parametrize(("filled", "grain"), [(True, 0.0), (False, 0.0), (False, 0.2)])
def test_the_kernel_is_within_a_code_of_the_definition(dtype, shape, move, filled, grain):
    reference, other = noise(*shape, dtype, seed=4)
    todo = compensation_for((max(1, shape[0] // 5), max(1, shape[1] // 5)), move, filled, grain=grain)
    buffers = RemakeBuffers(*shape, np.dtype(dtype).itemsize, todo.mask.shape)
    arrays, block = buffers.arrays(todo), np.full(buffers.size, POISON, np.uint8)
    buffers.fill(block, arrays)
    padded = np.full((shape[0], shape[1] + 3, 3), 77, dtype)
    out = padded[:, : shape[1]]
    pictures = [Picture(picture.ctypes.data, picture.strides[0]) for picture in (reference, other, out)]
    argument = buffers.argument(todo, block.ctypes.data, *pictures, arrays)
    bits = 8 * buffers.itemsize
    launch(Step("motion", f"remake{bits}", False, (shape[1], shape[0], 1)), argument)
    wanted = exposure_synthesis.exposure(reference, other, todo)
    code = 1 if dtype == np.uint8 else 2  # single precision among 65536 codes
    assert np.abs(out.astype(int) - wanted).max() <= code
    assert (np.abs(out.astype(int) - wanted) <= 1).mean() >= 0.9999
    assert (padded[:, shape[1] :] == 77).all()


def test_the_kernel_sees_the_struct_that_python_fills():
    assert ctypes.sizeof(Remake) == ctypes.c_uint.in_dll(host_library(), "remake_bytes").value
