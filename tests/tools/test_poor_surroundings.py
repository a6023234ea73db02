"""Terminals that are not UTF-8, and limits of memory: one line at worst, never a traceback."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tools.command import ROOT, livemef

ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
VERBS = [["--help"], ["run", "--help"], ["fuse", "--help"], ["fuse", "--print-config"], ["cameras"]]


@pytest.mark.parametrize("variables", ASCII)
@pytest.mark.parametrize("arguments", VERBS)
def test_a_terminal_that_is_not_utf8_gets_its_text(variables: dict[str, str], arguments: list[str]) -> None:
    done = livemef(*arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.isascii()


@pytest.mark.parametrize("variables", ASCII)
def test_a_file_name_that_the_terminal_cannot_show_is_fused_all_the_same(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    for name, level in (("dunkel-\u00fc.png", 40), ("hell-\u65e5.png", 160)):
        assert cv2.imwrite(str(tmp_path / "plain.png"), np.full((32, 48, 3), level, np.uint8))
        (tmp_path / "plain.png").rename(tmp_path / name)
    pictures = sorted(tmp_path.glob("*-*.png"))
    done = livemef("fuse", *pictures, "-o", tmp_path / "\u00e4.png", **variables)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "\u00e4.png").is_file()
    assert done.stdout.isascii()
    lacking = livemef("fuse", tmp_path / "\u00df.png", pictures[0], "-o", tmp_path / "x.png", **variables)
    assert lacking.returncode == 2
    assert "no such file" in lacking.stderr


@pytest.mark.parametrize("variables", ASCII)
def test_run_on_a_terminal_that_is_not_utf8(variables: dict[str, str], tmp_path: Path) -> None:
    endpoint = f"pub+bind:ipc://{tmp_path}/fused"
    camera = "sim://?size=160x120&fps=30&seed=1"
    done = livemef("run", "--camera", camera, "--publish", endpoint, "--no-preview", "--frames", 3, **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["record", "merge", "shoot"])
def test_a_file_name_never_steers_the_terminal(tmp_path: Path, verb: str) -> None:
    """Control characters, an end of line, bytes that are not UTF-8: one line, in which they can be seen."""
    name = os.fsdecode(os.fsencode(tmp_path) + b"/a\x1b[2J\n\xff")
    pictures = [tmp_path / "dark.png", tmp_path / "bright.png"]
    for path, level in zip(pictures, (40, 80), strict=True):
        assert cv2.imwrite(str(path), np.full((32, 48, 3), level, np.uint8))
    arguments = {
        "record": ["record", "--camera", "sim://?size=64x48", "-o", name, "--brackets", 1],
        "merge": ["merge", *pictures, "--ev", 2, "-o", f"{name}.tif"],
        "shoot": ["shoot", "new", name],
    }
    done = livemef(*arguments[verb])
    assert done.returncode == 0, done.stderr
    assert "\\x1b[2J\\n\\xff" in done.stdout.splitlines()[0]
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("megabytes", [300, 600])
def test_little_address_space_is_told_in_one_line(megabytes: int, tmp_path: Path) -> None:
    """ulimit -v: too little for the libraries, or for a process of the pipeline; where it is enough, it works."""
    if megabytes < 600 and int(np.__version__.partition(".")[0]) < 2:
        pytest.skip("the OpenBLAS of NumPy 1 waits for ever for memory that it cannot have")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    command = [sys.executable, "-m", "livemef.tools.cli", "run", "--camera", "sim://?size=320x240", "--no-preview"]
    command += ["--publish", f"pub+bind:ipc://{tmp_path}/fused", "--frames", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, preexec_fn=limit)
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    if done.returncode == 2:
        assert "memory" in done.stderr.splitlines()[-1]


def test_no_room_for_temporary_files_is_told_in_one_line() -> None:
    """A full disk: tempfile tries to write before it names a folder."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    command = [sys.executable, "-m", "livemef.tools.cli", "run", "--no-preview", "--frames", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("livemef: no folder for temporary files"), done.stderr
    assert "TMPDIR" in done.stderr
