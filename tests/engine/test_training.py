import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: make test-all")

import numpy as np
import torch

from livemef.engine.dataset import Stack, StackCache
from livemef.engine.errors import EngineError
from livemef.engine.recipe import RECIPES, LossShares, Schedule, TrainingConfig, no_degradation, with_overrides
from livemef.engine.training import (
    Observer,
    Trainer,
    fuse_tree,
    learning_rate,
    load_checkpoint,
    run,
    save_checkpoint,
    trained_net,
)
from livemef.engine.unet import LightnessUNet, NetShape
from livemef.engine.validation import score_net
from livemef.tools.research.training_run import train

pytestmark = pytest.mark.full

TINY = TrainingConfig(
    name="tiny",
    steps=12,
    batch=2,
    side=48,
    live_batch=2,
    live_side=64,
    live_factors=(2,),
    warm_up=3,
    widths=(8, 8),
)
PAPER = with_overrides(
    TINY, live_share=0.0, target_shares={"mitm": 1.0}, loss=LossShares(absolute=1.0), degradation=no_degradation()
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def trainer(config: TrainingConfig, cache: StackCache) -> Trainer:
    return Trainer(config, cache, cache.entries)


def parameters(trainer: Trainer) -> list[torch.Tensor]:
    return [*trainer.net.state_dict().values(), *trainer.average.state_dict().values()]


@pytest.mark.parametrize(
    "changes",
    [{}, {"weighting": "uniform"}, {"weight_use": "sampling"}],
    ids=["loss weights", "uniform", "sampling"],
)
def test_training_reduces_the_error(made_cache: StackCache, changes: dict[str, str]) -> None:
    config = with_overrides(PAPER, steps=60, learning_rate=5e-3, average_decay=0.9, **changes)
    student = trainer(config, made_cache)
    pairs = [entry for entry in made_cache.entries if len(entry.frames) == 2]
    with torch.no_grad():
        before = score_net(student.average, made_cache, pairs, config.target_shares, by_error=False)
        for _ in range(60):
            with torch.enable_grad():
                student.train_step()
        after = score_net(student.average, made_cache, pairs, config.target_shares, by_error=False)
    assert after["error"] < 0.7 * before["error"]


def test_the_structure_loss_raises_the_score(made_cache: StackCache) -> None:
    config = with_overrides(TINY, steps=60, learning_rate=5e-3, average_decay=0.9)
    student = trainer(config, made_cache)
    pairs = [entry for entry in made_cache.entries if len(entry.frames) == 2]
    with torch.no_grad():
        before = score_net(student.average, made_cache, pairs, config.target_shares, by_error=False)
    for _ in range(60):
        student.train_step()
    with torch.no_grad():
        after = score_net(student.average, made_cache, pairs, config.target_shares, by_error=False)
    assert after["full"] > before["full"]
    assert after["live"] > before["live"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"weight_use": "sampling"}, {"exposures": {2: 0.4, 3: 0.3, 4: 0.3}}],
    ids=["loss weights", "sampling", "several exposures"],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    made_cache: StackCache, tmp_path: Path, changes: dict[str, object]
) -> None:
    config = with_overrides(TINY, **changes)
    whole = trainer(config, made_cache)
    losses = [whole.train_step() for _ in range(8)]
    first = trainer(config, made_cache)
    for _ in range(5):
        first.train_step()
    save_checkpoint(tmp_path / "last.pt", first.state())
    second = trainer(config, made_cache)
    second.resume(load_checkpoint(tmp_path / "last.pt"))
    assert [second.train_step() for _ in range(3)] == losses[5:]
    for resumed, uninterrupted in zip(parameters(second), parameters(whole), strict=True):
        assert torch.equal(resumed, uninterrupted)


def test_the_tree_fuses_neighbours_and_takes_an_odd_last_one_up() -> None:
    def fuse(pair: torch.Tensor) -> torch.Tensor:
        """Marks the order: the darker one counts ten times."""
        return 0.8 * pair[:, :1] + 0.08 * pair[:, 1:]

    net = LightnessUNet(NetShape((8, 8)))
    net.forward = fuse  # type: ignore[method-assign]
    a, b, c, d, e = (torch.full((1, 1, 8, 8), value) for value in (0.9, 0.7, 0.5, 0.3, 0.2))

    def two(dark: torch.Tensor, bright: torch.Tensor) -> torch.Tensor:
        return fuse(torch.cat([dark, bright], dim=1))

    wanted = {2: two(a, b), 3: two(two(a, b), c), 4: two(two(a, b), two(c, d)), 5: two(two(two(a, b), two(c, d)), e)}
    for count, plane in wanted.items():
        assert torch.equal(fuse_tree(net, torch.cat([a, b, c, d, e][:count], dim=1)), plane)


def test_results_that_are_fused_again_are_limited_as_at_run_time() -> None:
    net = LightnessUNet(NetShape((8, 8)))
    net.forward = lambda pair: pair.sum(dim=1, keepdim=True)  # type: ignore[method-assign]
    assert float(fuse_tree(net, torch.full((1, 3, 8, 8), 0.7)).max()) == pytest.approx(1.7)


def test_every_number_of_exposures_is_drawn(made_cache: StackCache) -> None:
    student = trainer(with_overrides(TINY, exposures={2: 0.4, 4: 0.6}), made_cache)
    drawn = [student._count(np.random.default_rng(seed)) for seed in range(400)]
    assert set(drawn) == {2, 4}
    assert drawn.count(4) == pytest.approx(240, abs=40)


def test_training_through_the_tree_raises_the_score_of_four_exposures(made_cache: StackCache) -> None:
    config = with_overrides(TINY, steps=40, learning_rate=5e-3, average_decay=0.9, exposures={3: 0.5, 4: 0.5})
    student = trainer(config, made_cache)
    four = [entry for entry in made_cache.entries if len(entry.frames) == 4]
    with torch.no_grad():
        before = score_net(student.average, made_cache, four, config.target_shares, by_error=False)
    for _ in range(40):
        student.train_step()
    with torch.no_grad():
        after = score_net(student.average, made_cache, four, config.target_shares, by_error=False)
    assert after["score"] > before["score"]


def test_each_number_of_exposures_counts_the_same_in_the_score(made_cache: StackCache) -> None:
    net = trainer(TINY, made_cache).net

    def score(entries: list[Stack]) -> dict[str, float]:
        with torch.no_grad():
            return score_net(net, made_cache, entries, {"mitm": 1.0}, by_error=False)

    by_count = [score([e for e in made_cache.entries if len(e.frames) == count]) for count in (2, 3, 4)]
    for name, value in score(list(made_cache.entries)).items():
        assert value == pytest.approx(np.mean([scores[name] for scores in by_count]))


def test_too_few_exposures_for_a_recipe_are_refused(made_cache: StackCache) -> None:
    with pytest.raises(EngineError, match="no scene has 5 exposures"):
        trainer(with_overrides(TINY, exposures={5: 1.0}), made_cache)


def test_seeds_decide(made_cache: StackCache) -> None:
    one, same, other = (trainer(with_overrides(TINY, seed=seed), made_cache) for seed in (1, 1, 2))
    assert one.train_step() == same.train_step() != other.train_step()


def test_variance_weights_change_what_is_learned(made_cache: StackCache) -> None:
    losses = [
        [student.train_step() for _ in range(3)]
        for student in (trainer(with_overrides(PAPER, weighting=w), made_cache) for w in ("variance", "uniform"))
    ]
    assert losses[0] != losses[1]


class Notes(Observer):
    def __init__(self) -> None:
        self.losses: list[int] = []
        self.scores: list[int] = []

    def loss(self, step: int, loss: float, rate: float) -> None:
        self.losses.append(step)

    def scored(self, step: int, scores: dict[str, float], net: torch.nn.Module) -> None:
        self.scores.append(step)


def test_a_run_reports_scores_and_keeps_the_best(made_cache: StackCache, tmp_path: Path) -> None:
    student = trainer(TINY, made_cache)
    notes, planned = Notes(), iter([0.5, 0.9, 0.7])
    kept: list[list[torch.Tensor]] = []

    def score(net: torch.nn.Module) -> dict[str, float]:
        kept.append([value.clone() for value in net.state_dict().values()])
        return {"score": next(planned)}

    run(student, tmp_path, Schedule(checkpoint=5, score=5, report=4), score, notes)
    assert notes.losses == [4, 8, 12]
    assert notes.scores == [5, 10, 12]
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 12
    best = load_checkpoint(tmp_path / "best.pt")
    assert (best["step"], best["best_score"]) == (10, 0.9)
    for value, wanted in zip(trained_net(best).state_dict().values(), kept[1], strict=True):
        assert torch.equal(value, wanted)


@pytest.mark.parametrize("by_error", [False, True])
def test_a_network_is_chosen_by_what_its_recipe_asks_for(made_cache: StackCache, by_error: bool) -> None:
    student = trainer(TINY, made_cache)
    with torch.no_grad():
        scores = score_net(student.net, made_cache, made_cache.entries, {"mitm": 1.0}, by_error)
    wanted = -scores["error"] if by_error else (scores["full"] + scores["live"]) / 2
    assert scores["score"] == pytest.approx(wanted)
    assert scores["error"] > 0.0


def test_the_rate_rises_then_falls() -> None:
    config = with_overrides(TINY, steps=1000, warm_up=100)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert int(np.argmax(rates)) in (99, 100)
    assert rates[99] == pytest.approx(config.learning_rate)
    assert np.all(np.diff(rates[100:]) < 0)
    assert rates[-1] == pytest.approx(0.01 * config.learning_rate, rel=0.01)


def one_line(error: pytest.ExceptionInfo[EngineError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_a_broken_checkpoint_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "last.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineError) as error:
        load_checkpoint(path)
    assert str(path) in one_line(error)


def test_another_programs_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(EngineError) as error:
        load_checkpoint(tmp_path / "other.pt")
    assert "not one of this version" in one_line(error)


def test_a_checkpoint_of_another_network_or_recipe_is_refused(made_cache: StackCache) -> None:
    state = trainer(TINY, made_cache).state()
    with pytest.raises(EngineError) as error:
        trainer(with_overrides(TINY, widths=(8, 16)), made_cache).resume(state)
    assert "widths" in one_line(error)
    with pytest.raises(EngineError, match="another network"):
        trained_net({**state, "config": {**state["config"], "widths": [8, 16]}})


def test_only_the_length_of_a_run_may_change(made_cache: StackCache) -> None:
    student = trainer(TINY, made_cache)
    student.train_step()
    longer = trainer(with_overrides(TINY, steps=99), made_cache)
    longer.resume(student.state())
    assert (longer.step, longer.config.steps) == (1, 99)


@pytest.mark.parametrize(
    "changes", [{"weighting": "x"}, {"weight_use": "x"}, {"steps": 0}, {"batch": 0}, {"exposures": {1: 1.0}}]
)
def test_a_senseless_recipe_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EngineError):
        with_overrides(TINY, **changes)


def test_a_target_that_the_cache_has_not_is_refused(made_cache: StackCache) -> None:
    with pytest.raises(EngineError, match="moon"):
        trainer(with_overrides(TINY, target_shares={"moon": 1.0}), made_cache)


CHILD = """
import sys
from pathlib import Path
from livemef.engine.recipe import RECIPES, Schedule
from tests.engine.test_training import TINY
from livemef.tools.research.training_run import train
RECIPES["tiny"] = TINY
train(Path(sys.argv[1]), Path(sys.argv[2]), None, "tiny", 1, Schedule(4, 1000, 2), steps=100000)
"""


def test_a_killed_run_loses_no_more_than_a_checkpoint_interval(
    made_cache: StackCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(made_cache.folder), str(output)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    curves = output / "curves.csv"
    deadline = time.monotonic() + 90
    while not (curves.exists() and len(curves.read_text().splitlines()) > 6) and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    reported = int(curves.read_text().splitlines()[-1].split(",")[0])
    step = load_checkpoint(output / "last.pt")["step"]
    assert reported - step <= 4
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    scores = train(made_cache.folder, output, None, "tiny", 1, Schedule(4, 1000, 2), steps=step + 3)
    assert load_checkpoint(output / "last.pt")["step"] == step + 3
    assert scores["full"] > 0.5
    steps = [int(row.split(",")[0]) for row in curves.read_text().splitlines()[1:]]
    assert steps == sorted(steps)
    assert list((output / "samples").glob("*.png"))
    assert not list(output.glob("*.partial"))


def test_an_unknown_recipe_is_one_clear_line(made_cache: StackCache, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cbm-paper"):
        train(made_cache.folder, tmp_path, None, "cmb", 1)
