"""Ids, ledger, bags and sessions of field capture."""

import hashlib
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import bagit
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.tools.exits import UserError
from livemef.tools.field.bag import bag_problem
from livemef.tools.field.ids import checked_id, folder_name, next_name
from livemef.tools.field.ledger import Ledger, accept_ledger, read_ledger
from livemef.tools.field.project import Project, load_project, template
from livemef.tools.field.session import ABANDONED, LEDGER, OBJECTS, FieldSession, new_session, sessions_of
from tests.tools.command import ROOT
from tests.tools.field.kill_at_calls import write

ANY = ".*"


@given(st.text(max_size=120))
def test_an_accepted_id_makes_a_safe_folder_name(text: str) -> None:
    try:
        name = folder_name(checked_id(text, ANY))
    except UserError:
        return
    assert name
    assert name == Path(name).name
    assert not name.startswith((".", "-"))
    assert name.isascii()
    assert len(name) <= 100


@pytest.mark.parametrize("text", ["", "  ", "CON", "nul.txt", "..", ".hidden", "-rf", "a\x00b", "x" * 101, "end."])
def test_ids_that_no_disk_should_see(text: str) -> None:
    with pytest.raises(UserError, match="object id"):
        checked_id(text, ANY)


def test_ids_that_differ_by_case_or_by_what_is_replaced_are_one() -> None:
    assert next_name("KR 1", [], False) == "KR_1"
    for taken in ("kr_1", "KR_1"):
        with pytest.raises(UserError, match="retake"):
            next_name("KR/1", [taken], False)
    assert next_name("KR 1", ["kr_1", "KR_1.R2"], True) == "KR_1.r3"


def test_a_ledger_is_a_chain_and_half_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    ledger = Ledger(path)
    for number in range(3):
        ledger.append("stored", kind=OBJECTS, folder=f"{number}", object=f"객체 {number}")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "sto')
    Ledger(path).append("closed")
    assert [event["event"] for event in read_ledger(path)] == ["stored"] * 3 + ["closed"]
    lines = path.read_bytes().splitlines(keepends=True)
    for broken, number in (
        (lines[:1] + lines[2:], 2),
        ([lines[0].replace(b"0", b"7"), *lines[1:]], 1),
        ([lines[0].replace(b"stored", b"closed"), *lines[1:]], 2),
        ([b"[" * 100000 + b"\n", *lines], 1),
    ):
        path.write_bytes(b"".join(broken))
        with pytest.raises(UserError, match=f"line {number}"):
            Ledger(path)
        assert accept_ledger(path, "2026-01-02T03:04:05+00:00", "Kim") >= 1
        Ledger(path).append("note", text="on with it")
        assert read_ledger(path)[-2]["by"] == "Kim"
        changed_again = path.read_bytes().replace("객체 2".encode(), "객체 9".encode())
        path.write_bytes(changed_again)
        with pytest.raises(UserError, match="changed"):
            read_ledger(path)


def ledger_of_three(path: Path) -> list[bytes]:
    ledger = Ledger(path)
    for text in ("one", "two", "three"):
        ledger.append("note", text=text)
    return path.read_bytes().splitlines(keepends=True)


def test_the_last_line_of_a_ledger_is_vouched_for(tmp_path: Path) -> None:
    """By a file that GNU's sha256sum reads."""
    path = tmp_path / "session.jsonl"
    one, two, three = ledger_of_three(path)
    subprocess.run(["sha256sum", "-c", "session.jsonl.sha256"], cwd=tmp_path, check=True, capture_output=True)
    kept = path.with_name("session.jsonl.sha256").read_bytes()
    for changed in ([one, two, three.replace(b"three", b"four")], [one, two], [one]):
        path.write_bytes(b"".join(changed))
        path.with_name("session.jsonl.sha256").write_bytes(kept)
        with pytest.raises(UserError, match=r"does not end as session\.jsonl\.sha256 says"):
            Ledger(path)
        assert accept_ledger(path, "2026-01-02T03:04:05+00:00", "Kim") == 1
        assert [event["event"] for event in Ledger(path).events] == ["note"] * len(changed) + ["accepted"]
        assert accept_ledger(path, "2026-01-02T03:04:05+00:00", "Kim") == 0
    path.with_name("session.jsonl.sha256").unlink()
    with pytest.raises(UserError, match="does not end as"):
        read_ledger(path)


def test_a_ledger_whose_writer_was_killed_before_it_stated_the_sum_is_whole(tmp_path: Path) -> None:
    path, sums = tmp_path / "session.jsonl", tmp_path / "session.jsonl.sha256"
    one, two, three = ledger_of_three(path)
    for lines, before in (([one], b""), ([one, two], [one]), ([one, two, three], [one, two])):
        path.write_bytes(b"".join(lines))
        sums.write_text(f"{hashlib.sha256(b''.join(before)).hexdigest()}  session.jsonl\n") if before else sums.unlink()
        assert len(read_ledger(path)) == len(lines)
        Ledger(path)
        assert sums.read_text().split()[0] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_objects_are_valid_bags_and_nothing_is_overwritten(tmp_path: Path) -> None:
    session = new_session(tmp_path, "rig A", {"plan": ["1 ms"]})
    place = session.store("KR-1", False, write)
    bag = bagit.Bag(str(place))
    assert bag.is_valid()
    assert bag.info["External-Identifier"] == "KR-1"
    assert set(bag.algorithms) == {"sha256", "sha512"}
    with pytest.raises(UserError, match="retake"):
        session.store("kr-1", False, write)
    assert session.store("KR-1", True, write).name == "KR-1.r2"
    session.close()
    assert [event["event"] for event in read_ledger(session.folder / LEDGER)] == ["stored", "stored", "closed"]
    changed = place / "data" / "source" / "KR-1.dng"
    data = bytearray(changed.read_bytes())
    data[1234] ^= 1
    changed.write_bytes(data)
    assert "KR-1.dng" in bag_problem(place)
    assert bag_problem(place, fast=True) == ""


def test_a_failed_take_leaves_an_abandoned_folder_and_no_object(tmp_path: Path) -> None:
    session = new_session(tmp_path, "rig", {})

    def fails(folder: Path, name: str) -> dict[str, str]:
        (folder / "half.tif").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        session.store("KR-1", False, fails)
    assert session.stored() == []
    assert len(list((session.folder / ABANDONED).iterdir())) == 1
    session.close()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    session = new_session(tmp_path, "rig", {})
    with pytest.raises(UserError, match="has this session open"):
        FieldSession(session.folder)
    session.close()
    FieldSession(session.folder).close()


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from livemef.tools.field.session import FieldSession
from tests.tools.field.kill_at_calls import write
folder, left = Path(sys.argv[1]), int(sys.argv[2])
def count(event, arguments):
    global left
    if event in ("open", "os.rename", "os.mkdir", "os.truncate") and str(folder) in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
session = FieldSession(folder)
os.chdir("/")
sys.addaudithook(count)
session.store("KR-1", False, write)
print("done")
"""


def killed_at(folder: Path, call: int) -> bool:
    """Store an object and be killed before the given disk call; whether it got to the end."""
    command = [sys.executable, "-c", KILLED_AT, str(folder), str(call)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == 0


def check_after_kill(folder: Path) -> None:
    session = FieldSession(folder)
    for name in session.stored():
        assert bagit.Bag(str(folder / OBJECTS / name)).is_valid()
    stored = [event["folder"] for event in session.ledger.events if event["event"] == "stored"]
    assert sorted(stored) == session.stored()
    session.close()


def crash_at(tmp_path: Path, call: int) -> bool:
    place = tmp_path / f"p{call}"
    place.mkdir()
    session = new_session(place, "rig", {})
    session.close()
    ended = killed_at(session.folder, call)
    check_after_kill(session.folder)
    return ended


def test_killed_at_some_disk_calls_no_bag_is_invalid(tmp_path: Path) -> None:
    for call in random.Random(1).sample(range(40), 5):
        crash_at(tmp_path, call)


def test_project_settings_are_strict(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text(template())
    project = load_project(tmp_path)
    assert project.capture.frames == 8
    assert Project().capture == project.capture
    for text, says in (
        ("[capture]\nframe = 1", "capture.frame"),
        ("[object]\npattern = '('", "regular expression"),
        ("x = " + "9" * 5000, "TOML"),
        ("a" + ".a" * 50000 + " = 1", "project.toml"),
    ):
        (tmp_path / "project.toml").write_text(text)
        with pytest.raises(UserError, match=says):
            load_project(tmp_path)
    with pytest.raises(UserError, match="shoot new"):
        load_project(tmp_path / "nowhere")


def test_sessions_are_listed(tmp_path: Path) -> None:
    new_session(tmp_path, "a/../b", {}).close()
    (found,) = sessions_of(tmp_path)
    assert found.parent == tmp_path
    assert json.loads((found / LEDGER).read_text().splitlines()[0])["event"] == "closed"
