"""A few hundred inputs of each kind, always the same ones; `make fuzz` reads as many as its time allows."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.__main__ import judged
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS

INPUTS = {"onnx": 15, "pictures": 150}


@pytest.mark.parametrize("kind", TARGETS)
def test_sound_inputs_are_read(kind: str, tmp_path: Path) -> None:
    for seed in TARGETS[kind].seeds():
        assert TARGETS[kind].read(seed, tmp_path) is not None


@pytest.mark.parametrize("kind", TARGETS)
def test_mutated_inputs_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    target, chance = TARGETS[kind], random.Random(7)
    seeds = target.seeds()
    refused = 0
    for _ in range(INPUTS.get(kind, 300)):
        data = mutated(chance.choice(seeds), seeds, chance)
        try:
            target.read(data, tmp_path)
        except target.expected:
            refused += 1
    assert refused > 0


def test_what_is_found_is_named(tmp_path: Path) -> None:
    def broken(data: bytes, folder: Path) -> object:
        raise KeyError("x")

    fault, refused = judged(replace(TARGETS["wire"], read=broken), b"", tmp_path)
    assert fault.startswith("KeyError")
    assert not refused
