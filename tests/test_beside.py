"""Tests that fail beside others: what passes alone is named, and what fails alone too still fails."""

from pathlib import Path

import pytest

from tests import beside

FAILS = "def test_wrong():\n    assert False\n"
PASSES = "def test_right():\n    pass\n"
FAILS_BESIDE = """
import os
shared = []
def test_first():
    shared.append(1)
@__import__("pytest").mark.parametrize("case", ["a::b"])
def test_second(case):
    assert shared  # so that it needs the whole file
    assert "PYTEST_XDIST_WORKER" not in os.environ
"""
KILLS_BESIDE = "import os\ndef test_killed():\n    'PYTEST_XDIST_WORKER' in os.environ and os._exit(9)\n"


@pytest.mark.full  # many processes
@pytest.mark.parametrize(
    ("files", "code", "named"),
    [
        ({"test_a.py": FAILS_BESIDE, "test_b.py": PASSES}, 0, "  test_a.py::test_second[a::b]\n"),
        ({"test_a.py": FAILS_BESIDE, "test_b.py": FAILS}, 1, ""),
        ({"test_a.py": KILLS_BESIDE, "test_b.py": PASSES}, 0, "  test_a.py::test_killed\n"),
        ({"test_a.py": PASSES, "test_b.py": "import nothing_of_that_name\n"}, 2, ""),
        ({}, 5, ""),
    ],
)
def test_what_fails_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], code: int, named: str
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of the tests that run this one
    root, kept = tmp_path / "project", tmp_path / "kept"
    root.mkdir()
    (root / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        (root / name).write_text(text)
    assert beside.run(2, [], root, kept) == code
    passed_alone = kept / beside.NAMES.name
    assert (passed_alone.read_text() if passed_alone.is_file() else "") == named


def test_what_fails_everywhere_is_not_run_again() -> None:
    assert beside.files_again(1, ["a.py::one", "a.py::two[x::y]", "b.py::one"]) == ["a.py", "b.py"]
    assert beside.files_again(1, [f"{number}.py::one" for number in range(9)]) == []
    assert beside.files_again(2, ["a.py"]) == []
    assert beside.files_again(1, []) == []
