"""What happens around a run: it is stopped and continued as a whole, and watched by strace."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from livemef.fusion.stream.subscriber import Subscriber
from tests.engine.test_model_file import quiet_environment
from tests.tools.run.test_run import ROOT, SMALL_CAMERA, free_port

RUN = [sys.executable, "-m", "livemef.tools.cli", "run", "--json", "--camera", SMALL_CAMERA]


@pytest.mark.slow
def test_a_run_that_was_stopped_as_a_whole_goes_on() -> None:
    """Ctrl-Z and fg, docker pause: longer than every limit on silence."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    command = [*RUN, "--no-preview", "--publish", f"pub+bind:{endpoint}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        with Subscriber(f"sub+connect:{endpoint}") as frames:
            for _ in range(20):
                frames.receive(60.0)
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(8.0)
            os.killpg(process.pid, signal.SIGCONT)
            continued_ns = time.time_ns()
            while frames.receive(30.0).header.timestamp_wall_ns < continued_ns:
                pass
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["restarts"] == {"capture": 0, "fusion": 0}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_process_opens_a_connection_that_was_not_asked_for(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(calls)]
    (tmp_path / "home").mkdir()
    ports = [free_port(), free_port()]
    places = ["--publish", f"pub+bind:tcp://127.0.0.1:{ports[0]}", "--preview", f"127.0.0.1:{ports[1]}"]
    done = subprocess.run(
        [*trace, *RUN, *places, "--frames", "10"],
        cwd=ROOT,
        env=quiet_environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=110,
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    addresses = set(re.findall(r"sin6?_(?:port|addr)=[^}]*", calls.read_text()))
    assert not [address for address in addresses if "127.0.0.1" not in address and "::1" not in address], addresses
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
