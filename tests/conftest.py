"""What holds for all tests."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.vm.kernel_camera import KernelCamera

# How long an example takes tells how busy the machine is, not whether the code is right: pytest's timeout is the limit.
settings.register_profile("livemef", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("livemef")


@pytest.fixture(scope="session")
def kernel_camera() -> Iterator[KernelCamera]:
    """The virtual machine's USB camera, plugged in."""
    if "LIVEMEF_VM" not in os.environ:
        pytest.skip("runs in the virtual machine: make test-cameras")
    camera = KernelCamera()
    yield camera
    camera.close()
