"""Memory that is freed is kept."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNTS = """
import resource, sys
import numpy as np
from livemef.fusion.freed_memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    for _ in range(50):
        planes = [np.ones(300_000 + 60_000 * index, np.float32) for index in range(4)]
        del planes
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_planes_that_are_made_again_and_again_cost_no_page_faults() -> None:
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", COUNTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "given back")
    )
    assert kept < 50
    assert given_back > 10 * kept
