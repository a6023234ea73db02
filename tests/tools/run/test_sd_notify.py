import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from livemef.tools.run.sd_notify import sd_notify

ROOT = Path(__file__).parents[3]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(40)
        yield listener


def test_silent_without_a_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not sd_notify("READY=1")


def test_a_service_manager_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not sd_notify("READY=1")


@pytest.mark.full
def test_a_run_tells_its_service_manager(manager: socket.socket) -> None:
    options = ["--no-preview", "--camera", "sim://?size=320x240", "--publish", "pub+bind:tcp://127.0.0.1:*"]
    run = subprocess.Popen(
        [sys.executable, "-m", "livemef.tools.cli", "run", *options],
        cwd=ROOT,
        env=os.environ | {"NOTIFY_SOCKET": manager.getsockname()},
        stderr=subprocess.PIPE,
    )
    try:
        heard = [manager.recv(256).decode()]
        while "READY=1" not in heard or heard[-1] != "WATCHDOG=1":
            heard.append(manager.recv(256).decode())
        run.send_signal(signal.SIGTERM)
        while heard[-1] != "STOPPING=1":
            heard.append(manager.recv(256).decode())
        assert run.wait(30) == 0
    finally:
        run.kill()
        run.communicate()
