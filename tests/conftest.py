"""What holds for all tests."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.gpu_tools import LACKING
from tests.vm.kernel_camera import KernelCamera

# How long an example takes tells how busy the machine is, not whether the code is right: pytest's timeout is the limit.
settings.register_profile("livemef", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("livemef")

# A shell starts what it runs in the background (`make test &`) with SIGINT ignored, nohup ignores SIGHUP, and what we
# start inherits that.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)


def pytest_terminal_summary(terminalreporter) -> None:
    """Tell last how much of the GPU path went unchecked, and for want of what."""
    skipped = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])]
    reasons = [reason.split(LACKING, 1)[1] for reason in skipped if LACKING in reason]
    if reasons:
        terminalreporter.write_line(f"{len(reasons)} GPU checks skipped: {'; '.join(sorted(set(reasons)))}")


@pytest.fixture(scope="session")
def kernel_camera() -> Iterator[KernelCamera]:
    """The virtual machine's USB camera, plugged in."""
    if "LIVEMEF_VM" not in os.environ:
        pytest.skip("runs in the virtual machine: make test-cameras")
    camera = KernelCamera()
    yield camera
    camera.close()
