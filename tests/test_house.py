"""The first law of the house: imports go one way, in no circle, and under the one name that is installed."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("capture", "engine", "fusion", "calibration", "tools")
MAY_IMPORT = {
    "capture": {"capture"},
    "engine": {"engine"},
    "fusion": {"fusion", "capture", "engine"},
    "calibration": {"calibration", "capture", "fusion"},
    "tools": set(ROOMS),
}
ENGINE_FOR_FUSION = {f"livemef.engine.{name}" for name in ("runtime", "open_net", "errors", "processor")}
FUSION_FOR_CALIBRATION = {
    "livemef.fusion.correction",
    "livemef.fusion.method.colour",
    "livemef.fusion.metrics.ciede2000",
}
LONGEST_FILE = 400


@cache
def sources() -> dict[str, ast.Module]:
    """Every file of the rooms by its module's name."""
    files = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {module_of(path): ast.parse((ROOT / path).read_text(encoding="utf-8")) for path in files}


def module_of(path: Path) -> str:
    return ".".join(("livemef", *path.with_suffix("").parts)).removesuffix(".__init__")


def imported(tree: ast.AST) -> set[str]:
    """Modules, and names that may be modules, that a file imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def at_loading(tree: ast.Module) -> ast.Module:
    """The file without the bodies of its functions: what happens when it is imported."""
    body = [node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    return ast.Module(body, [])


def test_imports_follow_the_table() -> None:
    for module, tree in sources().items():
        room = module.split(".")[1]
        for name in imported(tree):
            top, *rest = name.split(".")
            assert top not in {*ROOMS, "tests"}, f"{module} imports {name}: write livemef.{name}"
            if top == "livemef" and rest:
                assert rest[0] in {"errors", *MAY_IMPORT[room]}, f"{module} imports {name}"


def test_the_public_names_need_no_verb() -> None:
    for path in (ROOT / "livemef").glob("*.py"):
        if path.name != "__main__.py":
            names = imported(ast.parse(path.read_text(encoding="utf-8")))
            assert not any(name.startswith("livemef.tools") for name in names), path


def test_there_is_no_circle_of_files() -> None:
    files = sources()
    graph = {module: (imported(at_loading(tree)) & files.keys()) - {module} for module, tree in files.items()}
    list(TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_fusion_knows_of_the_engine_only_its_runtime() -> None:
    for module, tree in sources().items():
        engine = {name for name in imported(tree) & sources().keys() if name.startswith("livemef.engine.")}
        if module.startswith("livemef.fusion."):
            assert engine <= ENGINE_FOR_FUSION, module


def test_calibration_knows_of_the_fusion_only_its_colour_and_correction() -> None:
    for module, tree in sources().items():
        fusion = {name for name in imported(tree) & sources().keys() if name.startswith("livemef.fusion.")}
        if module.startswith("livemef.calibration."):
            assert fusion <= {*FUSION_FOR_CALIBRATION, "livemef.fusion.method", "livemef.fusion.metrics"}, module


def test_no_file_is_too_long_and_every_package_is_typed() -> None:
    for room in (*ROOMS, "livemef", "tests"):
        for path in (ROOT / room).rglob("*.py"):
            if "cache" in path.parts:  # of the virtual machine and of aarch64: not ours
                continue
            assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE, path
            if room != "tests":
                assert (path.parent / "py.typed").exists(), path.parent


def test_no_order_is_left_to_the_processor() -> None:
    """numpy's other sorts order ties as the processor's instructions have it."""
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "argsort":
                kinds = [ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg == "kind"]
                assert kinds == ["stable"], f"{module}, line {node.lineno}: argsort without kind='stable'"


def test_a_folder_with_rooms_of_its_own_changes_nothing(tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('not this one')")
    (tmp_path / "use.py").write_text("import livemef.tools.cli, livemef.capture.frame, livemef.fusion.open_fuser")
    subprocess.run([sys.executable, "use.py"], cwd=tmp_path, check=True, timeout=60)


def test_errors_have_one_base() -> None:
    """What is no LivemefError never reaches a user: it is handled where it is raised."""
    handled_inside = {"NoAnswer", "ChildTrace", "StartFailed"}
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name not in handled_inside:
                assert not any(isinstance(base, ast.Name) and base.id == "Exception" for base in node.bases), module
