"""Each shipped model has a card that names its file, its bytes, and the scenes where it fails."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from livemef.engine.open_net import MODELS, shipped_models
from livemef.engine.recipe import RECIPES

DATA = Path(os.environ.get("LIVEMEF_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def card(name: str) -> str:
    return (MODELS / f"{name}.md").read_text(encoding="utf-8")


def facts(name: str) -> dict[str, str]:
    """The table at the card's head."""
    return dict(re.findall(r"^\| (\w[\w ,]*) \| (.*) \|$", card(name), re.MULTILINE))


@pytest.mark.parametrize("name", shipped_models())
def test_the_card_names_the_file(name: str) -> None:
    data = (MODELS / f"{name}.onnx").read_bytes()
    row = facts(name)
    assert f"`{name}.onnx`" in row["file"]
    assert f"{len(data)} bytes" in row["file"]
    assert f"opset {onnx.load_from_string(data).opset_import[0].version}" in row["file"]
    assert row["sha256"] == f"`{hashlib.sha256(data).hexdigest()}`"


@pytest.mark.parametrize("name", shipped_models())
def test_the_file_names_its_model_and_its_training(name: str) -> None:
    model = onnx.load_model(str(MODELS / f"{name}.onnx"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["name"] == name
    steps = re.match(r"(\d+) steps, seed (\d+)", metadata["training"])
    assert steps
    assert f"{steps[1]} steps" in facts(name)["recipe"]
    assert f"seed {steps[2]}" in facts(name)["recipe"]


@pytest.mark.parametrize("name", shipped_models())
def test_the_card_names_a_recipe_that_there_is(name: str) -> None:
    named = re.findall(r"--recipe ([\w-]+)", facts(name)["recipe"])
    assert named
    assert set(named) <= set(RECIPES)


def test_the_card_counts_the_weights() -> None:
    model = onnx.load_model(str(MODELS / "cbm.onnx"))
    count = sum(
        np.prod(tensor.dims) for tensor in model.graph.initializer if tensor.name.startswith(("down", "up", "last"))
    )
    assert f"{count:,} weights".replace(",", " ") in facts("cbm")["network"]


@pytest.mark.skipif(not (DATA / "dev").is_dir(), reason=f"no photographs in {DATA} (LIVEMEF_DATA names their folder)")
def test_scenes_that_fail_are_scenes_that_there_are() -> None:
    parts = ("dev", "multi_exposure_dev", "multi_exposure_merianos")
    folders = [path.name for part in parts for path in (DATA / part).iterdir() if path.is_dir()]
    known = "\n".join(name.replace("_", "").lower() for name in folders)
    failures = card("cbm").split("## Known failures")[1]
    named = [scene for group in re.findall(r"\*\*([^*]+)\*\*", failures) for scene in group.split(", ")]
    assert len(named) > 5
    for scene in named:
        assert scene.replace(" ", "").replace("_", "").lower() in known, scene
