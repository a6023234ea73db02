"""How long the fusion process may be busy with a bracket before it counts as hung."""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import pytest

from livemef.fusion import process


class Clock:
    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Beating:
    def __init__(self) -> None:
        self.limits: list[float] = []

    @contextlib.contextmanager
    def opening(self, state: str, limit_s: float) -> Iterator[None]:
        self.limits.append(limit_s)
        yield


def limits(monkeypatch: pytest.MonkeyPatch, *steps_s: float) -> list[float]:
    clock, beating = Clock(), Beating()
    monkeypatch.setattr(process, "time", clock)
    patience = process._Patience(cast(Any, beating))
    for step_s in steps_s:
        with patience.step():
            clock.now_s += step_s
    return beating.limits


def test_quick_steps_need_no_patience_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, 0.2, 0.1, 0.1) == [process.FIRST_STEP_S]


def test_slow_steps_get_more_time_than_any_took_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits(monkeypatch, 9.0, 7.0, 12.0, 8.0) == [process.FIRST_STEP_S, 36.0, 36.0, 48.0]
