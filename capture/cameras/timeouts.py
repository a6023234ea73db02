"""Time limits for calls into libraries that may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class NoAnswer(Exception):
    """The call did not return in time; its thread is left behind."""


def call_within(limit_s: float, call: Callable[[], Result]) -> Result:
    """The call's result, or its exception; NoAnswer if it has not returned after `limit_s`."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not results:
        raise NoAnswer
    return results[0]
