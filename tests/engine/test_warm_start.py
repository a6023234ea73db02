from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import torch

from livemef.engine.dataset import StackCache
from livemef.engine.errors import EngineError
from livemef.engine.export import write_onnx
from livemef.engine.onnx_runtime import OnnxLightnessNet
from livemef.engine.open_net import find_model
from livemef.engine.recipe import RECIPES, with_overrides
from livemef.engine.training import Start, Trainer, fuse_tree, load_weights, save_checkpoint
from livemef.engine.unet import LightnessUNet, NetShape
from livemef.engine.warm_start import blend_into, start_from
from livemef.fusion.method.guide_planes import network_lightness
from tests.engine.test_training import TINY

pytestmark = pytest.mark.full

SHIPPED = find_model("cbm")


def test_a_shipped_model_becomes_the_network_that_it_was(made_cache: StackCache) -> None:
    config = with_overrides(RECIPES["cbm"], target_shares={"mitm": 1.0})
    student = Trainer(config, made_cache, made_cache.entries, start_from("cbm"))
    assert student.started_from == f"cbm {OnnxLightnessNet(SHIPPED).sha256[:12]}"
    planes = np.random.default_rng(3).random((2, 64, 96)).astype(np.float32)
    with torch.no_grad():
        fused = student.average(torch.from_numpy(planes)[None])[0, 0].clamp(0.0, 1.0).numpy()
    np.testing.assert_allclose(fused, OnnxLightnessNet(SHIPPED)(*planes), atol=1e-5)


def test_weights_come_back_from_a_file_and_from_a_checkpoint(made_cache: StackCache, tmp_path: Path) -> None:
    student = Trainer(TINY, made_cache, made_cache.entries)
    student.train_step()
    save_checkpoint(tmp_path / "last.pt", student.state())
    write_onnx(student.average, tmp_path / "net.onnx", {"name": "tiny"})
    for file in ("last.pt", "net.onnx"):
        weights = start_from(tmp_path / file).weights
        assert weights.keys() == student.average.state_dict().keys()
        for name, value in student.average.state_dict().items():
            assert torch.equal(weights[name], value)


def test_a_run_starts_at_the_weights_given(made_cache: StackCache) -> None:
    torch.manual_seed(7)
    weights = LightnessUNet(NetShape(TINY.widths)).state_dict()
    student = Trainer(TINY, made_cache, made_cache.entries, Start(weights, "made"))
    for net in (student.net, student.average):
        for name, value in net.state_dict().items():
            assert torch.equal(weights[name], value)
    resumed = Trainer(TINY, made_cache, made_cache.entries)
    resumed.resume(student.state())
    assert resumed.started_from == "made"


def test_another_networks_weights_are_refused(made_cache: StackCache) -> None:
    with pytest.raises(EngineError, match="another network"):
        Trainer(TINY, made_cache, made_cache.entries, start_from("cbm"))


@pytest.mark.parametrize("name", ["none.onnx", "none.pt", "junk.onnx", "junk.pt"])
def test_what_is_no_model_is_one_clear_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(EngineError, match=name) as error:
        start_from(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_blend_is_the_mean_of_the_weights_by_their_shares(share: float) -> None:
    torch.manual_seed(1)
    net, other = LightnessUNet(NetShape((8, 8))), LightnessUNet(NetShape((8, 8)))
    own = {name: value.clone() for name, value in net.state_dict().items()}
    blend_into(net, Start(other.state_dict(), "other"), share)
    for name, value in net.state_dict().items():
        wanted = (1 - share) * own[name] + share * other.state_dict()[name]
        torch.testing.assert_close(value, wanted)


def test_a_blend_with_another_network_is_refused() -> None:
    with pytest.raises(EngineError, match="another network"):
        blend_into(LightnessUNet(NetShape((8, 8))), start_from("cbm"), 0.5)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_training_fuses_by_the_tree_of_fusion(count: int) -> None:
    net = LightnessUNet(NetShape((16, 24, 32, 48)))
    load_weights(net, start_from("cbm").weights)
    planes = np.sort(np.random.default_rng(count).random((count, 32, 48)), axis=0).astype(np.float32)
    with torch.no_grad():
        fused = fuse_tree(net, torch.from_numpy(planes)[None])[0, 0].clamp(0.0, 1.0).numpy()
    np.testing.assert_allclose(fused, network_lightness(OnnxLightnessNet(SHIPPED), list(100 * planes)), atol=2e-5)
