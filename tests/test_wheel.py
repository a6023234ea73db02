"""What pip installs: one import name, whole, with its types, and out of the way of other packages. Builds it."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]
ROOMS = ("capture", "engine", "fusion", "calibration", "tools")
LIMIT_S = 600

OWN_PROGRAM = """
import numpy as np
from numpy.typing import NDArray
import livemef

def fused_size(folder: str) -> tuple[int, ...]:
    picture: NDArray[np.uint8] = livemef.read_picture(folder)
    return livemef.fuse([picture, picture]).shape

with livemef.open_camera("sim://", exposures="1ms,16ms") as camera, livemef.open_fuser() as fuser:
    for bracket in camera.brackets():
        exposure: livemef.Exposure | None = bracket.exposures[0]
        fused: livemef.Fused = fuser.fuse(bracket)
with livemef.subscribe() as messages:
    number: int = next(messages).header.seq
"""


WRONG_PROGRAM = """
import livemef
livemef.fuse("under.png")
livemef.open_camera(exposures=3)
livemef.subscribe().nothing
"""


def run(command: Sequence[str | Path], folder: Path, expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it with none of this environment's variables that steer Python or livemef."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LIVEMEF_"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


def git_files(*places: str) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *places]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout.decode()
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).exists())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist made from the files that git knows of, links as links, and a wheel made from that sdist."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    subprocess.run(["tar", "-cf", source / "all.tar", *git_files()], cwd=ROOT, check=True, timeout=60)
    subprocess.run(["tar", "-xf", "all.tar"], cwd=source, check=True, timeout=60)
    (source / "all.tar").unlink()
    make_sdist = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    run([sys.executable, "-c", make_sdist], source)
    (sdist,) = folder.glob("*.tar.gz")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, sdist], folder)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def python(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which the wheel is installed; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    ours = [place for place in sys.path if place.endswith("-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours))
    python = folder / "bin" / "python"
    run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--ignore-installed", built[1]], folder)
    return python


def test_the_only_top_level_name_is_livemef(built: tuple[Path, Path]) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(built[1]).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"livemef"}


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_every_file_of_every_room_is_inside(built: tuple[Path, Path], kind: str) -> None:
    if kind == "sdist":
        with tarfile.open(built[0]) as sdist:
            inside = {name.split("/", 1)[-1] for name in sdist.getnames()}
    else:
        inside = set(zipfile.ZipFile(built[1]).namelist())
    wanted = {f"livemef/{name}" for name in git_files(*ROOMS) if name.endswith((".py", ".typed", ".onnx", ".html"))}
    assert len(wanted) > 200
    assert wanted <= inside


def test_an_installed_livemef_works_beside_a_package_called_calibration(python: Path, tmp_path: Path) -> None:
    """uncertainty-calibration installs a top-level package `calibration`."""
    before = run([python, "-m", "livemef", "doctor", "--json"], tmp_path).stdout
    run([python, "-m", "pip", "install", "-q", "--no-deps", "uncertainty-calibration"], tmp_path)
    theirs = run(
        [python, "-c", "import importlib.util as u; print(u.find_spec('calibration').origin)"], tmp_path
    ).stdout
    assert Path(theirs.strip()).is_relative_to(python.parents[1]), "the other package is not there: nothing was tested"
    after = run([python, "-m", "livemef", "doctor", "--json"], tmp_path).stdout
    assert json.loads(after)["ok"]
    assert names_found(after) == names_found(before)
    code = "import livemef; livemef.open_camera('sim://?size=320x240&scene=chart').close(); print(livemef.__file__)"
    assert str(python.parents[1]) in run([python, "-c", code], tmp_path).stdout


def names_found(report: str) -> list[tuple[str, str]]:
    return [(finding["name"], finding["state"]) for finding in json.loads(report)["findings"]]


def test_a_users_types_are_seen(python: Path, tmp_path: Path) -> None:
    """mypy --strict passes on a right program, and finds what is wrong in a wrong one: no name is Any."""
    (tmp_path / "right.py").write_text(OWN_PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG_PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--cache-dir", tmp_path / "c"]
    run([*command, "right.py"], tmp_path)
    found = run([*command, "wrong.py"], tmp_path, expected=1).stdout
    assert [line for line in range(1, 8) if f"wrong.py:{line}: error" in found] == [3, 4, 5], found
