import json
from pathlib import Path

import numpy as np
import pytest

from livemef.engine.dataset import Stack, StackCache, open_cache, write_index, write_stack
from livemef.engine.errors import EngineError


def test_planes_come_back_to_half_a_code(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    planes = [rng.random((5, 7), np.float32) for _ in range(3)]
    write_stack(tmp_path, "a.npy", planes)
    entry = Stack("a.npy", "scene", "group", (0, 2), (0.0, 4.5))
    write_index(tmp_path, ("target",), [entry])
    cache = open_cache(tmp_path)
    assert cache.entries == (entry,)
    assert cache.targets == ("target",)
    np.testing.assert_allclose(cache.load(entry) / 65535.0, np.stack(planes), atol=0.51 / 65535)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "index.json"]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_never_split(made_cache: StackCache, seed: int) -> None:
    training, held_out = made_cache.split(0.3, seed)
    assert {entry.group for entry in training}.isdisjoint(entry.group for entry in held_out)
    assert len(training) + len(held_out) == len(made_cache.entries)
    assert held_out
    assert made_cache.split(0.3, seed) == (training, held_out)


def broken_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(EngineError) as error:
        open_cache(tmp_path)
    assert "livemef lab label" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"format": 99}),
        json.dumps({"format": 1, "planes": [], "pairs": []}),
        json.dumps({"format": 2, "targets": ["x"], "stacks": []}),
    ],
)
def test_a_broken_index_is_one_clear_line(tmp_path: Path, text: str) -> None:
    broken_index(tmp_path, text)


def test_an_absent_cache_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="livemef lab label"):
        open_cache(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"junk" * 100])
def test_a_broken_stack_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    write_index(tmp_path, ("target",), [Stack("a.npy", "s", "g", (0, 1), (0.0, 2.0))])
    (tmp_path / "a.npy").write_bytes(content)
    cache = open_cache(tmp_path)
    with pytest.raises(EngineError, match=r"a\.npy"):
        cache.load(cache.entries[0])


def test_a_stack_of_other_planes_is_refused(tmp_path: Path) -> None:
    write_index(tmp_path, ("target",), [Stack("a.npy", "s", "g", (0, 1), (0.0, 2.0))])
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4), np.uint16))
    cache = open_cache(tmp_path)
    with pytest.raises(EngineError, match="not uint16 of 3 planes"):
        cache.load(cache.entries[0])
