"""A working folder with Python files of its own: livemef and the processes that it starts import none of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.command import ROOT

OWN = ("selectors", "socket", "struct", "tools", "capture", "engine", "fusion", "calibration")
ENTRY = "import sys\nfrom livemef.tools.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that note that they were imported, under names that libraries and rooms of livemef have."""
    (tmp_path / "work").mkdir()
    note = f"open({str(tmp_path / 'imported')!r}, 'a').write(__file__ + '\\n')\nraise RuntimeError('not this one')\n"
    for name in OWN:
        (tmp_path / "work" / f"{name}.py").write_text(note)
    (tmp_path / "livemef").write_text(ENTRY)  # as pip installs it: a script in a folder of its own
    return tmp_path / "work"


def livemef_in(folder: Path, *arguments: str, python_path: str = "") -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, (str(ROOT), python_path)))
    command = [sys.executable, str(folder.parent / "livemef"), *arguments]
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110)
    noted = folder.parent / "imported"
    assert not noted.exists(), noted.read_text()
    return done


def test_run_imports_nothing_from_the_current_folder(folder: Path) -> None:
    camera = "sim://?size=320x240&scene=chart"
    done = livemef_in(
        folder, "run", "--camera", camera, "--no-preview", "--frames", "2", "--publish", f"pub+bind:ipc://{folder}/link"
    )
    assert done.returncode == 0, done.stderr


def test_doctor_imports_nothing_from_the_current_folder(folder: Path) -> None:
    done = livemef_in(folder, "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"]


def test_cameras_reads_a_path_from_the_current_folder_but_no_code(folder: Path) -> None:
    done = livemef_in(folder, "cameras", "sim://?size=320x240&scene=chart", "file://missing", "--json")
    simulated, missing = map(json.loads, done.stdout.splitlines())
    assert simulated["problem"] == ""
    assert "no such folder" in missing["problem"]


def test_a_python_path_of_the_current_folder_brings_no_room_of_its_own(folder: Path) -> None:
    """Names of Python's own library are left out: who puts them on the path has replaced them for every program."""
    for name in ("selectors", "socket", "struct"):
        (folder / f"{name}.py").unlink()
    assert livemef_in(folder, "doctor", "--json", python_path=".").returncode == 0
