"""Our USB camera as the kernel of the virtual machine sees it, and the hand on its plug. Only inside the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

SENSOR = "sim://?scene=bars&motion=0&size=160x120&fps=10&step=100us&pace=fast&delay=2&seed=5"
"""What the camera sees, on a machine that computes some twenty times slower than its host. Period: 100 ms."""
NODE = Path("/dev/video0")
LIMIT_S = 30.0


class KernelCamera:
    """The running USB camera (a process of its own), plugged in."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.vm.usb_camera", SENSOR]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.plug()

    def plug(self) -> None:
        """Plug it in, and wait for the kernel's device."""
        self._tell("plug")
        _wait_until(NODE.exists, "no video device")
        os.environ["SYSTEMD_IGNORE_CHROOT"] = "1"
        for action in (["trigger", "-s", "media", "-s", "video4linux"], ["settle", "-t", "10"]):
            subprocess.run(["udevadm", *action], check=True, timeout=LIMIT_S)

    def unplug(self) -> None:
        """Pull the plug, and wait until the kernel's device is gone."""
        self._tell("unplug")

    def stall(self, seconds: float) -> None:
        """The camera sends nothing for a while."""
        self._tell(f"stall {seconds}")

    def close(self) -> None:
        """End the camera."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(LIMIT_S)

    def _tell(self, order: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n", f"the USB camera failed at: {order}"


def _wait_until(true: object, what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
