"""A delivery is one bag of bags, for bagit and for GNU coreutils; what is new follows in another one."""

import shutil
import subprocess
from pathlib import Path

import bagit
import pytest

from livemef.tools.cli import main
from livemef.tools.field.deliver import bags_of, deliver
from livemef.tools.field.session import new_session
from tests.tools.field.kill_at_calls import write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "museum"
    assert main(["shoot", "new", str(folder)]) == 0
    session = new_session(folder, "rig", {})
    session.store("T0001", False, write, kind="targets")
    for name in ("KR 1", "KR-2"):
        session.store(name, False, write)
    session.close()
    return folder


def sums_agree(bag: Path, algorithm: str) -> bool:
    """Whether coreutils finds every file as the manifests say."""
    files = [f"manifest-{algorithm}.txt", f"tagmanifest-{algorithm}.txt"]
    command = [f"{algorithm}sum", "--check", "--strict", "--quiet", *files]
    return subprocess.run(command, cwd=bag, capture_output=True, timeout=60, check=False).returncode == 0


def test_one_bag_with_all_bags_and_ledgers(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "archive"
    assert main(["shoot", "deliver", str(project), "-o", str(out)]) == 0
    assert f"{out / 'museum'}: 3 bags; 0 delivered before, 0 faults" in capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["museum"]
    outer = bagit.Bag(str(out / "museum"))
    assert outer.is_valid()
    assert outer.info["Bag-Group-Identifier"] == "museum"
    assert "2 objects and 1 target" in outer.info["External-Description"]
    (session,) = (path for path in (out / "museum" / "data").iterdir() if path.is_dir())
    inner = sorted(path for kind in ("objects", "targets") for path in (session / kind).iterdir())
    assert [path.name for path in inner] == ["KR-2", "KR_1", "T0001"]
    assert all(bagit.Bag(str(bag)).is_valid() for bag in inner)
    assert (session / "session.jsonl").read_bytes() == (project / session.name / "session.jsonl").read_bytes()
    assert (out / "museum" / "data" / "project.toml").is_file()
    for bag in (out / "museum", *inner):
        for algorithm in ("sha256", "sha512"):
            assert sums_agree(bag, algorithm)
    assert main(["shoot", "verify", str(out / "museum")]) == 0


def test_what_is_new_follows_in_another_bag(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deliver(project, tmp_path / "archive").copied == 3
    assert main(["shoot", "deliver", str(project), "-o", str(tmp_path / "archive")]) == 0
    assert "nothing is new; 3 delivered before, 0 faults" in capsys.readouterr().out
    session = new_session(project, "other rig", {})
    session.store("KR-2", False, write)  # of another session: another record
    session.close()
    done = deliver(project, tmp_path / "archive", "ours")
    assert (done.copied, done.there, done.faults) == (1, 3, ())
    assert done.place == tmp_path / "archive" / "museum.d2"
    outer = bagit.Bag(str(done.place))
    assert outer.is_valid()
    assert outer.info["Source-Organization"] == "ours"


def test_a_fault_there_shows(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deliver(project, tmp_path / "archive").faults == ()
    (victim,) = (tmp_path / "archive").glob("museum/data/*/objects/KR-2/data/KR-2.json")
    victim.write_text("[]")
    assert main(["shoot", "deliver", str(project), "-o", str(tmp_path / "archive")]) == 2
    assert "KR-2.json" in capsys.readouterr().out


def test_an_interrupted_delivery_goes_on(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, copy = tmp_path / "archive", shutil.copytree
    begun = []

    def breaks(source: Path, place: Path, *more: object) -> None:
        copy(source, place, *more)
        if not more:  # else a folder inside a bag
            begun.append(source.name)
            if len(begun) == 2:
                raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(shutil, "copytree", breaks)
    with pytest.raises(OSError, match="No space"):
        deliver(project, out)
    assert [path.name for path in out.iterdir()] == [".museum.part"]
    done = deliver(project, out)
    assert (done.copied, done.faults) == (3, ())
    assert len(begun) == 4  # the first was not copied again
    assert bagit.Bag(str(out / "museum")).is_valid()
    assert [path.name for path in out.iterdir()] == ["museum"]


@pytest.mark.parametrize("loses", ["data/KR-2.json", "manifest-sha512.txt", "bagit.txt"])
def test_a_bag_that_is_broken_here_is_not_delivered(project: Path, tmp_path: Path, loses: str) -> None:
    (bag,) = (bag for bag in bags_of(project) if bag.name == "KR-2")
    kept = (bag / loses).read_bytes()
    (bag / loses).unlink()
    done = deliver(project, tmp_path / "archive")
    assert len(done.faults) == 1
    assert str(bag) in done.faults[0]
    assert not (tmp_path / "archive" / "museum").exists()
    (bag / loses).write_bytes(kept)
    assert deliver(project, tmp_path / "archive").faults == ()
    assert bagit.Bag(str(tmp_path / "archive" / "museum")).is_valid()
