"""The same pixels on every processor."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
NEWER = "X86_V4 AVX512_ICL AVX512_SPR"
"""What numpy has other ways of sorting for; naming one that it was not built with is only a warning."""


def fused(output: Path, **environment: str) -> np.ndarray:
    command = [sys.executable, "-m", "tests.fusion.motion.fuse_tied_levels", str(output)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True, timeout=60)
    return np.load(output).astype(int)


def test_levels_that_tie_are_grouped_alike_on_every_processor(tmp_path: Path) -> None:
    newest, older = fused(tmp_path / "newest.npy"), fused(tmp_path / "older.npy", NPY_DISABLE_CPU_FEATURES=NEWER)
    assert np.abs(newest - older).max() <= 1
