import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

from livemef.engine.recipe import RECIPES
from livemef.tools.exits import UserError
from livemef.tools.research.ablate_weights import ARMS, ablate_weights_command
from livemef.tools.research.ablation_table import comparison, spread_of
from livemef.tools.research.label import make_stacks
from tests.tools.command import livemef
from tests.tools.research.test_label import exposures, write_scene
from tests.tools.research.test_learning import TINY

pytestmark = pytest.mark.full


@pytest.fixture
def caches(tmp_path: Path) -> tuple[Path, Path]:
    for number in range(2):
        write_scene(tmp_path / f"in/scene{number}", exposures((0.1, 1.6), seed=number))
    write_scene(tmp_path / "other/scene9", exposures((0.1, 1.6), seed=9))
    make_stacks(tmp_path / "in", tmp_path / "stacks")
    make_stacks(tmp_path / "other", tmp_path / "held-out")
    return tmp_path / "stacks", tmp_path / "held-out"


def test_every_arm_is_trained_once_and_measured(
    tmp_path: Path, caches: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    arguments = {"recipe": "tiny", "seeds": 2, "steps": 4, "threads": 1, "json_output": True}
    ablate_weights_command(caches[0], tmp_path / "runs", caches[1], **arguments)
    first = json.loads(capsys.readouterr().out)
    assert list(first["arms"]) == list(ARMS)
    assert all(len(arm["runs"]) == 2 for arm in first["arms"].values())
    assert first["arms"]["uniform"]["runs"] != first["arms"]["loss"]["runs"]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.pt")}
    ablate_weights_command(caches[0], tmp_path / "runs", caches[1], **arguments)
    assert json.loads(capsys.readouterr().out) == first
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.pt")}


def test_an_unknown_recipe_is_refused(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="recipe"):
        ablate_weights_command(caches[0], tmp_path, caches[1], recipe="cmb")


def test_differences_are_taken_pair_by_pair() -> None:
    runs = {"a": [{"x": 1.0}, {"x": 10.0}], "b": [{"x": 2.0}, {"x": 11.0}]}
    table = comparison(runs, {"x": "x"}, "")
    assert [list(column.cells) for column in table.columns][1] == ["5.50 ±6.36", "6.50 ±6.36", "+1.00 ±0.00"]
    assert spread_of([1.0, float("nan")]) == (1.0, 0.0)


def test_settings_are_compared_on_a_folder_of_scenes(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/scene0", exposures((0.1, 1.6), seed=3))
    result = livemef("ablate-fusion", str(tmp_path / "in"), "--json")
    arms = json.loads(result.stdout)["arms"]
    assert arms["tone (default)"]["runs"] != arms["gamma 1"]["runs"]
    assert arms["gamma adaptive"]["mean"]["mef_ssim"] > 0.5
    result = livemef("ablate-fusion", str(tmp_path / "nowhere"))
    assert result.returncode == 2
