"""What can be checked of the GPU path with no GPU needs NVIDIA's tools. Where one is lacking, its tests are skipped
with the reason, and the number of such skips is told last (tests/conftest.py)."""

from typing import NoReturn

import pytest

LACKING = "GPU tools: "


def lacking(reason: str) -> NoReturn:
    """Skip this test for want of a tool."""
    pytest.skip(LACKING + reason)
