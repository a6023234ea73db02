"""Another user of this machine: can neither join the link, nor take its place, nor map the ring, nor watch the page's
socket. Run as root, which becomes somebody else in a child."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from livemef.fusion.stream.subscriber import Subscriber
from tests.tools.run.test_run import Pipeline, free_port, pipelines, wait_for_page

__all__ = ["pipelines"]

SOMEBODY = 65534
ATTEMPTS = """
import os, socket, sys
pids = [int(number) for number in sys.argv[3:]]
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
for pid in pids:  # the ring, through another process's open files
    for way in (f"/proc/{pid}/fd", f"/proc/{pid}/map_files"):
        try:
            print("open", way, os.listdir(way))
        except PermissionError:
            pass
for line in open("/proc/net/unix"):  # every socket that has a name
    name = line.split()[-1]
    if "livemef" in name:
        print("named", name)
try:
    print("folder", os.listdir(os.path.dirname(sys.argv[1])))
except PermissionError:
    pass
with socket.socket(socket.AF_UNIX) as client:
    try:
        client.connect(sys.argv[1])
        print("connected", sys.argv[1])
    except PermissionError:
        pass
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_finds_no_way_in(pipelines: Callable[..., Pipeline], tmp_path: Path) -> None:
    page = free_port()
    pipeline = pipelines("--preview", f"127.0.0.1:{page}")
    with Subscriber(f"sub+connect:{pipeline.endpoint}") as subscriber:
        subscriber.receive(30.0)
        wait_for_page(page)
        sockets = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "/preview" in line]
        folders = [Path(name).parent for name in sockets if "livemef-run-" in name]
        assert folders, "the preview's socket is not where it should be"
        pids = [pipeline.process.pid, *(child.pid for child in psutil.Process(pipeline.process.pid).children(True))]
        attempts = [sys.executable, "-c", ATTEMPTS, str(folders[-1] / "preview"), str(SOMEBODY), *map(str, pids)]
        done = subprocess.run(attempts, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        # The names of sockets may be seen, but where they lie may not be entered; a name without a place (@) would do.
        assert [line for line in done.stdout.splitlines() if not line.startswith("named /")] == []
        subscriber.receive(30.0)
    pipeline.end()
