"""Writes the fused picture of a bracket of few levels, where something moved: fuse_tied_levels.py OUTPUT.npy."""

import sys

import numpy as np

from livemef.fusion.cpu.fuser import CpuFuser
from livemef.fusion.cpu.row_kernels import NumpyLoops
from livemef.fusion.settings import FusionSettings
from tests.fusion.brackets import Curve


def bracket(height=180, width=320):
    """Posters of a dozen tones, each in many cells; nearly half of the over-exposed picture changed. BGR uint8."""
    rng = np.random.default_rng(2)
    tones = np.kron(rng.integers(10, 80, (height // 20, width // 20, 3)) // 6 * 6, np.ones((20, 20, 1), np.int64))
    changed = rng.normal(0, 30, (height // 10, width // 10, 1)) * (rng.random((height // 10, width // 10, 1)) < 0.45)
    over = tones * 3 + rng.normal(0, 6, tones.shape) + np.kron(changed, np.ones((10, 10, 1)))
    return [np.clip(picture, 0, 255).astype(np.uint8) for picture in (tones, over)]


if __name__ == "__main__":
    fuser = CpuFuser(Curve(), FusionSettings(motion="full"), 1, NumpyLoops())
    np.save(sys.argv[1], fuser.fuse(bracket()).pixels)
