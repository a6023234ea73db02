"""From folders of exposures to a model that fuses: label, train, export, open."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import onnx

from livemef.engine.errors import EngineError
from livemef.engine.open_net import open_net
from livemef.engine.recipe import RECIPES, LossShares, Schedule, TrainingConfig, no_degradation
from livemef.tools.research.export import export
from livemef.tools.research.label import lightness_plane, make_stacks
from livemef.tools.research.training_run import train
from tests.tools.research.test_label import exposures, write_scene

pytestmark = pytest.mark.full

TINY = TrainingConfig(
    name="tiny",
    steps=30,
    batch=2,
    side=64,
    live_share=0.0,
    warm_up=5,
    widths=(8, 8),
    target_shares={"mitm": 1.0},
    loss=LossShares(absolute=1.0),
    degradation=no_degradation(),
)


def test_pictures_become_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_scene(tmp_path / f"in/scene{number}", exposures((0.1, 1.6), seed=number))
    make_stacks(tmp_path / "in", tmp_path / "stacks")
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    scores = train(tmp_path / "stacks", tmp_path / "run", None, "tiny", 1, Schedule(10, 10, 10))
    assert 0.0 < scores["error"] < 0.5
    export(tmp_path / "run/best.pt", tmp_path / "tiny.onnx")
    net = open_net(tmp_path / "tiny.onnx")
    assert net.name == "tiny"
    dark, bright = (lightness_plane(picture) for picture in exposures((0.1, 1.6), seed=9))
    fused = net(dark, bright)
    assert np.corrcoef(fused.ravel(), (dark + bright).ravel())[0, 1] > 0.9
    export(tmp_path / "run/last.pt", tmp_path / "half.onnx", half=True, name="small")
    assert open_net(tmp_path / "half.onnx").name == "small"
    export(tmp_path / "run/last.pt", tmp_path / "mixed.onnx", blend=tmp_path / "tiny.onnx", share=0.5)
    mixed = onnx.load_model(str(tmp_path / "mixed.onnx"))
    assert "blended with 0.5 of tiny" in {entry.key: entry.value for entry in mixed.metadata_props}["training"]
    assert (tmp_path / "half.onnx").stat().st_size < 0.65 * (tmp_path / "tiny.onnx").stat().st_size


def test_one_group_without_validation_stacks_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "in/only", exposures((0.1, 1.6)))
    make_stacks(tmp_path / "in", tmp_path / "stacks")
    with pytest.raises(EngineError, match="validation"):
        train(tmp_path / "stacks", tmp_path / "run", None, "cbm", 1)


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"x")
    with pytest.raises(EngineError, match=r"x\.pt"):
        export(tmp_path / "x.pt", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
