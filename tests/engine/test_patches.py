import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from livemef.engine import patches as patching
from livemef.engine.dataset import Stack, StackCache
from livemef.engine.lightness import to_luminance
from livemef.engine.patches import Patches, RunningMeans
from livemef.engine.recipe import Degradation, no_degradation

pytestmark = pytest.mark.full

positive = st.floats(1e-4, 1.0)


def draw(
    cache: StackCache, seed: int, degradation: Degradation, count: int = 6, side: int = 48, exposures: int = 2
) -> Patches:
    scenes = patching.samples_of(cache.entries, exposures)
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


def test_variances_are_those_of_the_planes(made_cache: StackCache) -> None:
    patches = draw(made_cache, 1, no_degradation())
    target, difference = patching.variances(patches)
    for index in range(6):
        assert float(target[index]) == pytest.approx(patches.target[index].numpy().var(), rel=1e-4)
        exposures = patches.exposures[index].numpy()
        wanted = abs(exposures[0].var() - exposures[-1].var())
        assert float(difference[index]) == pytest.approx(wanted, rel=1e-3)


def test_a_draw_depends_on_its_seed_alone(made_cache: StackCache) -> None:
    for first, second in zip(
        planes_of(draw(made_cache, 7, Degradation())), planes_of(draw(made_cache, 7, Degradation())), strict=True
    ):
        assert torch.equal(first, second)
    assert not torch.equal(draw(made_cache, 7, Degradation()).seen, draw(made_cache, 8, Degradation()).seen)


@pytest.mark.parametrize("exposures", [2, 3, 4])
def test_without_degradation_patches_are_cut_from_the_cache(made_cache: StackCache, exposures: int) -> None:
    patches = draw(made_cache, 2, no_degradation(), count=1, side=96, exposures=exposures)
    assert torch.equal(patches.exposures, patches.seen)
    assert patches.exposures.shape == (1, exposures, 96, 96)
    wanted = sorted_codes(torch.cat([patches.exposures, patches.target], dim=1)[0].numpy() * 65535)
    found = []
    for scene in patching.samples_of(made_cache.entries, exposures):
        for sample in scene:
            planes = made_cache.load(sample.stack)[[*sample.exposures, len(sample.stack.frames)]]
            found += [sorted_codes(planes[:, :, left : left + 96]) for left in range(planes.shape[2] - 95)]
    assert any(np.array_equal(wanted, window) for window in found)


def sorted_codes(planes: np.ndarray) -> np.ndarray:
    return np.sort(np.rint(planes).astype(np.uint16).reshape(len(planes), -1), axis=1)


def test_small_pictures_are_mirrored_up_to_the_patch(made_cache: StackCache) -> None:
    assert draw(made_cache, 3, no_degradation(), count=2, side=160).seen.shape == (2, 2, 160, 160)


@pytest.mark.parametrize("exposures", [2, 4])
def test_noise_is_in_the_darkest_seen_exposure_only(made_cache: StackCache, exposures: int) -> None:
    noise = Degradation(jitter_ev=0.0, clip_probability=0.0, noise_probability=1.0, shift_probability=0.0)
    patches = draw(made_cache, 4, noise, exposures=exposures)
    clean = draw(made_cache, 4, no_degradation(), exposures=exposures)
    assert torch.equal(patches.seen[:, 1:], patches.exposures[:, 1:])
    assert torch.equal(patches.exposures, clean.exposures)
    assert 1e-4 < float((patches.seen - patches.exposures)[:, 0].abs().mean()) < 0.05


def test_jitter_and_clipping_change_the_light(made_cache: StackCache) -> None:
    bright = draw(made_cache, 5, Degradation(0.0, 1.0, 2.0, 0.0, shift_probability=0.0)).exposures[:, 1]
    assert float(bright.mean()) > float(draw(made_cache, 5, no_degradation()).exposures[:, 1].mean()) + 0.01
    assert float(bright.max()) <= 1.0


def test_each_exposure_has_its_own_jitter(made_cache: StackCache) -> None:
    jitter = Degradation(0.2, 0.0, 0.0, 0.0, shift_probability=0.0)
    patches, clean = (draw(made_cache, 5, kind, exposures=4) for kind in (jitter, no_degradation()))
    inside = (clean.exposures > 0.02) & (clean.exposures < 0.5)
    gains = torch.where(inside, to_luminance(patches.exposures) / to_luminance(clean.exposures), torch.nan)
    level = gains.nanmean(dim=(2, 3))
    assert float((gains - level[..., None, None]).abs().nan_to_num().max()) < 1e-3, "one factor for an exposure"
    assert len(set(level.flatten().tolist())) == level.numel()


def test_a_shift_moves_what_is_seen(made_cache: StackCache) -> None:
    shifted = Degradation(0.0, 0.0, 0.0, 0.0, shift_probability=1.0, shift_px=2)
    patches = draw(made_cache, 6, shifted, count=8)
    moved = (patches.seen - patches.exposures)[:, 0].abs().amax(dim=(1, 2)) > 0
    assert int(moved.sum()) >= 6


def test_targets_are_mixed_by_their_shares(made_cache: StackCache) -> None:
    scenes = patching.samples_of(made_cache.entries, 2)
    args = (2, 32, no_degradation())
    single = patching.draw(made_cache, scenes, {"mitm": 1.0}, *args, np.random.default_rng(1))
    mixed = patching.draw(made_cache, scenes, {"mitm": 0.5, "mertens": 0.25}, *args, np.random.default_rng(1))
    np.testing.assert_allclose(mixed.target.numpy(), 0.75 * single.target.numpy(), atol=1e-6)


def stack(name: str, *evs: float) -> Stack:
    return Stack(f"{name}.npy", name, name, tuple(range(len(evs))), evs)


def test_samples_are_the_ends_and_a_choice_between_them() -> None:
    entries = [stack("a", 0, 2, 4, 6), stack("a", 0, 2), stack("b", 0, 3)]
    assert [len(scene) for scene in patching.samples_of(entries, 2)] == [2, 1]
    (scene,) = patching.samples_of(entries, 3)
    assert [sample.exposures for sample in scene] == [(0, 1, 3), (0, 2, 3)]
    (whole,) = patching.samples_of(entries, 4)
    assert [sample.exposures for sample in whole] == [(0, 1, 2, 3)]


@pytest.mark.parametrize(("evs", "count"), [((0, 9), 2), ((0, 0.5), 2), ((0, 4, 4.5), 3), ((0, 3), 3)])
def test_neighbours_too_far_or_too_near_make_no_sample(evs: tuple[float, ...], count: int) -> None:
    assert patching.samples_of([stack("a", *evs)], count) == []
