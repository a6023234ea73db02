"""Which of a test's many cases run every time."""

from collections.abc import Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], count: int, full: int | None = None) -> list[Any]:
    """Parameters for parametrize: the first `count` cases in every run, those up to `full` (all of them, where it is
    None) in `make test-all` too, the rest in `make test-slow`. A case is a value, or a tuple of values.
    """
    marked = []
    for number, case in enumerate(cases):
        marks = [] if number < count else [pytest.mark.full] if full is None or number < full else [pytest.mark.slow]
        marked.append(pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks))
    return marked
