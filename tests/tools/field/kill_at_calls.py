"""Kills a process before the n-th system call that touches a disk, by strace; run as a program by the tests.

    python kill_at_calls.py FOLDER store|copy

Prints a line of JSON: how many calls there are until the work is done, and what was found wrong after each kill.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bagit
import numpy as np

from livemef.capture.files.archival_tiff import TiffMetadata, write_archival_tiff
from livemef.capture.files.dng import DngCamera, write_dng
from livemef.capture.frame import Mosaic
from livemef.tools.field.second_copy import SecondCopy
from livemef.tools.field.session import OBJECTS, STAGING, FieldSession, new_session

CALLS = "write pwrite64 openat fsync fdatasync rename renameat renameat2 mkdir mkdirat ftruncate unlink unlinkat rmdir"
CALLS += " copy_file_range sendfile"


def write(folder: Path, name: str) -> dict[str, str]:
    """A raw source, a master, and a record, as an object has, by the writers that a session uses, two at a time."""
    (folder / "source").mkdir()
    (folder / "master").mkdir()
    metadata = TiffMetadata(f"{name} source", "livemef", "2026:01:02 03:04:05", "+00:00", exposure_us=1000.0)
    mosaic = Mosaic(np.random.default_rng().integers(0, 4096, (24, 32), np.uint16), "RGGB", 64, 4095)
    master = np.full((24, 32, 3), 70, np.uint16)
    with ThreadPoolExecutor(2) as threads:
        done = [
            threads.submit(write_dng, folder / "source" / f"{name}.dng", mosaic, DngCamera("camera"), metadata),
            threads.submit(write_archival_tiff, folder / "master" / f"{name}.tif", master, metadata),
        ]
        for future in done:
            future.result()
    (folder / f"{name}.json").write_text("{}")
    return {"Source-Organization": "ours"}


def killed(work: Callable[[], None], name: str, number: int) -> bool:
    """Do the work in a process of its own that is killed before its n-th call of that name; whether it was."""
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        work()
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(child), "-e", f"trace={name}"]
    tracer = subprocess.Popen([*command, "-e", f"inject={name}:signal=KILL:when={number}"], stderr=subprocess.DEVNULL)
    while "TracerPid:\t0" in Path(f"/proc/{child}/status").read_text():
        assert tracer.poll() is None, "strace may not trace here"
        time.sleep(0.002)
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    tracer.wait(20)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def faults_of(session: Path) -> list[str]:
    """What is wrong after a kill, once the session was opened again."""
    again = FieldSession(session)
    found = [f"{name} is invalid" for name in again.stored() if not bagit.Bag(str(session / OBJECTS / name)).is_valid()]
    entered = sorted(event["folder"] for event in again.ledger.events if event["event"] == "stored")
    if entered != again.stored():
        found.append(f"stored {again.stored()}, in the ledger {entered}")
    if list((session / STAGING).iterdir()):
        found.append("something is left in staging")
    again.close()
    return found


def main(folder: Path, what: str) -> None:
    """All kills: before the first, second ... call of each name, until the work does not come to that."""
    kills: dict[str, int] = {}
    faults = []
    for name in CALLS.split():
        number = 1
        while True:
            was_killed, found = (stored if what == "store" else copied)(folder / f"{name}{number}", name, number)
            faults += [f"{name} {number}: {fault}" for fault in found]
            if not was_killed:
                break
            kills[name] = number
            number += 1
    print(json.dumps({"kills": kills, "faults": faults}))


def stored(project: Path, name: str, number: int) -> tuple[bool, list[str]]:
    """Store an object under that threat; whether it was carried out, and what is wrong after."""
    project.mkdir()
    session = new_session(project, "rig", {})
    was_killed = killed(lambda: session.store("KR-1", False, write) and None, name, number)
    session._lock.close()
    return was_killed, faults_of(session.folder)


def copied(project: Path, name: str, number: int) -> tuple[bool, list[str]]:
    """The same for the second copy."""
    project.mkdir()
    second = project / "second"
    second.mkdir()
    session = new_session(project, "rig", {})
    bag = session.store("KR-1", False, write)
    session.close()

    def copy() -> None:
        assert SecondCopy(second)._copy(bag) == ""

    was_killed = killed(copy, name, number)
    found = [f"{place} is invalid" for place in second.glob("*/objects/*") if not bagit.Bag(str(place)).is_valid()]
    if problem := SecondCopy(second)._copy(bag):
        found.append(f"cannot be copied any more: {problem}")
    return was_killed, found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
