"""Nothing that was stored is ever lost: kills at every disk call, full and vanishing disks, clocks, two writers."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bagit
import pytest

from livemef.tools.exits import UserError
from livemef.tools.field import clock
from livemef.tools.field.clock import ClockWatch
from livemef.tools.field.ledger import Ledger, read_ledger
from livemef.tools.field.second_copy import SecondCopy
from livemef.tools.field.session import LEDGER, OBJECTS, FieldSession, is_locked, new_session
from tests.tools.command import ROOT
from tests.tools.field.kill_at_calls import write

BIG = 200_000


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size; skips where this user may not mount one."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "livemef-test", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def write_big(folder: Path, name: str) -> dict[str, str]:
    (folder / f"{name}.tif").write_bytes(os.urandom(BIG))
    return {}


def store_error(session: FieldSession, name: str) -> int:
    """The number of the error with which storing an object failed; 0 = it did not."""
    try:
        session.store(name, False, write_big)
    except OSError as error:
        return error.errno or -1
    return 0


def fill(session: FieldSession) -> int:
    """Store objects until the disk is full; how many."""
    for number in range(100):
        if failed := store_error(session, f"KR-{number}"):
            assert failed == errno.ENOSPC
            return number
    raise AssertionError("the disk was never full")


def until(condition: Callable[[], object], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def all_valid(folder: Path) -> list[str]:
    """Names of all bags in a folder, which must be valid."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    assert all(bagit.Bag(str(folder / name)).is_valid() for name in names)
    return names


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", ["store", "copy"])
def test_killed_before_every_single_disk_call(what: str, tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    command = [sys.executable, "-m", "tests.tools.field.kill_at_calls", str(tmp_path), what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    if "may not trace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index('{"kills"') :])
    assert found["faults"] == []
    assert found["kills"]["fsync"] >= 10
    assert found["kills"]["rename"] == {"store": 2, "copy": 1}[what]  # the bag's; that of the ledger's sum


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3) as disk:
        session = new_session(disk, "rig", {})
        stored = fill(session)
        assert 5 < stored < 15
        assert all_valid(session.folder / OBJECTS) == sorted(f"KR-{number}" for number in range(stored))
        filler = session.folder / "filler"  # until not a byte is left: the ledger cannot take a line either
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1000))
        with pytest.raises(OSError, match="No space"):
            session.ledger.append("note", text="x" * 5000)
        read_ledger(session.folder / LEDGER)
        filler.unlink()
        shutil.rmtree(session.folder / ".abandoned")
        session.store("KR-after", False, write)
        session.close()
        assert "KR-after" in all_valid(session.folder / OBJECTS)
        events = read_ledger(session.folder / LEDGER)
        assert len([event for event in events if event["event"] == "stored"]) == stored + 1


def test_a_second_disk_that_vanishes_gets_what_it_missed_when_it_is_back(tmp_path: Path) -> None:
    session = new_session(tmp_path, "rig", {})
    place = tmp_path / "second"
    with small_disk(place, 8):
        copies = SecondCopy(place, retry_s=0.05)
        copies.put(session.store("KR-1", False, write))
        until(lambda: copies.behind == 0)
        assert copies.outcomes() == [(session.folder / OBJECTS / "KR-1", "")]
    # the mount point is still a folder, on the first disk: nothing may be copied there
    copies.put(session.store("KR-2", False, write))
    copies.put(session.store("KR-3", False, write))
    until(lambda: (found := copies.outcomes()) and "another disk" in found[0][1])
    time.sleep(0.3)
    assert copies.outcomes() == []  # said once
    assert copies.free_bytes is None
    assert list(place.iterdir()) == []
    copies.close(5)
    with small_disk(place, 8):
        copies = SecondCopy(place, retry_s=0.05)
        for bag in session.not_copied():
            copies.put(bag)
        until(lambda: copies.behind == 0)
        assert all_valid(place / session.folder.name / OBJECTS) == ["KR-1", "KR-2", "KR-3"]
        copies.close(5)
    session.close()


def test_a_second_disk_that_is_full_is_tried_again(tmp_path: Path) -> None:
    session = new_session(tmp_path, "rig", {})
    with small_disk(tmp_path / "second", 1) as place:
        (place / "filler").write_bytes(bytes(900_000))
        copies = SecondCopy(place, retry_s=0.05)
        copies.put(session.store("KR-1", False, write_big))
        until(lambda: (found := copies.outcomes()) and "No space" in found[0][1])
        assert not list(place.glob("*/objects/*"))
        (place / "filler").unlink()
        until(lambda: copies.outcomes() == [(session.folder / OBJECTS / "KR-1", "")])
        assert all_valid(place / session.folder.name / OBJECTS) == ["KR-1"]
        copies.close(5)
    session.close()


def test_another_object_of_that_name_on_the_second_disk_is_not_overwritten(tmp_path: Path) -> None:
    session, second = new_session(tmp_path, "rig", {}), tmp_path / "second"
    bag = session.store("KR-1", False, write)
    other = new_session(tmp_path, "other", {})
    shutil.copytree(other.store("KR-1", False, write), second / session.folder.name / OBJECTS / "KR-1")
    before = (second / session.folder.name / OBJECTS / "KR-1" / "manifest-sha512.txt").read_bytes()
    copies = SecondCopy(second, retry_s=0.05)
    copies.put(bag)
    until(lambda: (found := copies.outcomes()) and "nothing is overwritten" in found[0][1])
    assert (second / session.folder.name / OBJECTS / "KR-1" / "manifest-sha512.txt").read_bytes() == before
    copies.close(5)
    session.close()
    other.close()


def test_a_clock_that_is_set_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ClockWatch()
    assert watch.state().stepped_s == 0
    now = time.time
    monkeypatch.setattr(clock.time, "time", lambda: now() - 3600)
    state = watch.state()
    assert state.stepped_s == pytest.approx(-3600, abs=1)
    assert "backwards by 3600 s" in state.warning
    monkeypatch.setattr(clock.time, "time", lambda: now() + 90)
    assert "forwards by 90 s" in watch.state().warning


def test_a_second_writer_is_refused_and_named(tmp_path: Path) -> None:
    session = new_session(tmp_path, "rig", {})
    assert is_locked(session.folder)
    with pytest.raises(UserError, match=rf"has this session open \(process {os.getpid()}\)"):
        FieldSession(session.folder)
    session.store("KR-1", False, write)
    session.close()
    assert not is_locked(session.folder)


def test_an_object_that_the_ledger_missed_is_entered_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session(tmp_path, "rig", {})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with pytest.raises(OSError, match="No space"):
            session.store("KR-1", False, write)
    session.store("KR-2", False, write)
    events = [(event["folder"], event.get("recovered", False)) for event in session.ledger.events]
    assert events == [("KR-1", True), ("KR-2", False)]
    session.close()
