import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from livemef.engine import patches as patching
from livemef.engine.dataset import PairCache
from livemef.engine.patches import Patches, RunningMeans
from livemef.engine.recipe import Degradation, no_degradation

pytestmark = pytest.mark.full

positive = st.floats(1e-4, 1.0)


def draw(cache: PairCache, seed: int, degradation: Degradation, count: int = 6, side: int = 48) -> Patches:
    scenes = patching.group_by_scene(cache.entries)
    return patching.draw(cache, scenes, {"mitm": 1.0}, count, side, degradation, np.random.default_rng(seed))


def planes_of(patches: Patches) -> list[torch.Tensor]:
    return [getattr(patches, name) for name in Patches.__dataclass_fields__]


@given(positive, positive, positive, positive)
def test_importance_grows_with_both_variances(v: float, d: float, more: float, mean: float) -> None:
    means = RunningMeans(target=mean, difference=mean, batches=5)

    def importance(target: float, difference: float) -> float:
        return float(patching.importance(torch.tensor([target]), torch.tensor([difference]), means)[0])

    assert importance(v + more, d) > importance(v, d)
    assert importance(v, d + more) > importance(v, d)


def test_importance_is_the_formula() -> None:
    means = RunningMeans(target=0.02, difference=0.01, batches=9)
    got = patching.importance(torch.tensor([0.04, 0.0]), torch.tensor([0.03, 0.0]), means)
    np.testing.assert_allclose(got.numpy(), [1.0 + 2.0 + 3.0, 1.0], rtol=1e-6)


@given(st.lists(st.floats(1.0, 100.0), min_size=2, max_size=16))
def test_loss_weights_keep_order_and_bounds(values: list[float]) -> None:
    weights = patching.loss_weights(torch.tensor(values)).numpy()
    assert (weights >= patching.SMALLEST_WEIGHT).all()
    assert (weights <= patching.LARGEST_WEIGHT).all()
    assert (np.diff(weights[np.argsort(values, kind="stable")]) >= -1e-6).all()


def test_equal_patches_have_equal_weight_one() -> None:
    np.testing.assert_array_equal(patching.loss_weights(torch.full((5,), 3.0)).numpy(), np.ones(5))


def test_sampling_prefers_importance() -> None:
    rng = np.random.default_rng(0)
    values = torch.tensor([1.0, 1.0, 1.0, 9.0])
    counts = np.zeros(4)
    for _ in range(600):
        kept = patching.choose(values, 2, rng)
        assert len(set(kept.tolist())) == 2
        counts[kept] += 1
    assert counts[3] > 500
    assert counts[:3].min() > 150


def test_running_means_start_at_the_first_batch_and_follow() -> None:
    means = RunningMeans()
    means.update(torch.tensor([1.0, 3.0]), torch.tensor([4.0]))
    assert (means.target, means.difference) == (2.0, 4.0)
    for _ in range(1000):
        means.update(torch.tensor([5.0]), torch.tensor([5.0]))
    assert means.target == pytest.approx(5.0, abs=0.02)


def test_variances_are_those_of_the_planes(made_cache: PairCache) -> None:
    patches = draw(made_cache, 1, no_degradation())
    target, difference = patching.variances(patches)
    for index in range(6):
        assert float(target[index]) == pytest.approx(patches.target[index].numpy().var(), rel=1e-4)
        wanted = abs(patches.dark[index].numpy().var() - patches.bright[index].numpy().var())
        assert float(difference[index]) == pytest.approx(wanted, rel=1e-3)


def test_a_draw_depends_on_its_seed_alone(made_cache: PairCache) -> None:
    for first, second in zip(
        planes_of(draw(made_cache, 7, Degradation())), planes_of(draw(made_cache, 7, Degradation())), strict=True
    ):
        assert torch.equal(first, second)
    assert not torch.equal(draw(made_cache, 7, Degradation()).dark, draw(made_cache, 8, Degradation()).dark)


def test_without_degradation_patches_are_cut_from_the_cache(made_cache: PairCache) -> None:
    patches = draw(made_cache, 2, no_degradation(), count=1, side=96)
    assert torch.equal(patches.dark, patches.seen_dark)
    assert torch.equal(patches.bright, patches.seen_bright)
    codes = np.sort(np.rint(patches.bright.numpy() * 65535).astype(np.uint16).ravel())
    sources = [made_cache.load(entry)[1] for entry in made_cache.entries]
    windows = [np.sort(plane[:, left : left + 96].ravel()) for plane in sources for left in range(plane.shape[1] - 95)]
    assert any(np.array_equal(codes, window) for window in windows)


def test_small_pictures_are_mirrored_up_to_the_patch(made_cache: PairCache) -> None:
    patches = draw(made_cache, 3, no_degradation(), count=2, side=160)
    assert patches.dark.shape == (2, 1, 160, 160)


def test_noise_is_in_the_seen_dark_exposure_only(made_cache: PairCache) -> None:
    noise = Degradation(jitter_ev=0.0, clip_probability=0.0, noise_probability=1.0, shift_probability=0.0)
    patches = draw(made_cache, 4, noise)
    clean = draw(made_cache, 4, no_degradation())
    assert torch.equal(patches.seen_bright, patches.bright)
    assert torch.equal(patches.bright, clean.bright)
    assert 1e-4 < float((patches.seen_dark - patches.dark).abs().mean()) < 0.05


def test_jitter_and_clipping_change_the_light(made_cache: PairCache) -> None:
    bright = draw(made_cache, 5, Degradation(0.0, 1.0, 2.0, 0.0, shift_probability=0.0)).bright
    assert float(bright.mean()) > float(draw(made_cache, 5, no_degradation()).bright.mean()) + 0.01
    assert float(bright.max()) <= 1.0


def test_a_shift_moves_what_is_seen(made_cache: PairCache) -> None:
    shifted = Degradation(0.0, 0.0, 0.0, 0.0, shift_probability=1.0, shift_px=2)
    patches = draw(made_cache, 6, shifted, count=8)
    moved = (patches.seen_dark - patches.dark).abs().amax(dim=(1, 2, 3)) > 0
    assert int(moved.sum()) >= 6


def test_targets_are_mixed_by_their_shares(made_cache: PairCache) -> None:
    scenes = patching.group_by_scene(made_cache.entries)
    assert [len(scene) for scene in scenes] == [2, 1, 1, 1, 1]
    args = (2, 32, no_degradation())
    single = patching.draw(made_cache, scenes, {"mitm": 1.0}, *args, np.random.default_rng(1))
    mixed = patching.draw(made_cache, scenes, {"mitm": 0.5, "dark": 0.5}, *args, np.random.default_rng(1))
    np.testing.assert_allclose(mixed.target.numpy(), (0.5 * (single.target + single.dark)).numpy(), atol=1e-6)
