"""The first law of the house: imports go one way, capture and engine to fusion and calibration, and these to tools."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("capture", "engine", "fusion", "calibration", "tools")
MAY_IMPORT = {
    "capture": {"capture"},
    "engine": {"engine"},
    "fusion": {"fusion", "capture", "engine"},
    "calibration": {"calibration", "capture", "fusion"},
    "tools": set(ROOMS),
}
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    ours = {name.split(".")[0] for name in imported(path)} & {*ROOMS, "tests"}
    assert ours <= MAY_IMPORT[room]


def test_fusion_knows_of_the_engine_only_its_runtime() -> None:
    engine = {name for path in (ROOT / "fusion").rglob("*.py") for name in imported(path) if name.startswith("engine.")}
    assert engine <= {"engine.runtime", "engine.errors"}


def test_calibration_knows_of_the_fusion_only_its_colour() -> None:
    paths = (ROOT / "calibration").rglob("*.py")
    fusion = {name for path in paths for name in imported(path) if name.startswith("fusion.")}
    assert fusion <= {"fusion.colour", "fusion.colour_difference"}
