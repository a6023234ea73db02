"""A finding of the doctor."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """The result of a check. remedy: how to mend it, "" if ok. needed: livemef does not run without it."""

    area: str
    name: str
    state: State
    detail: str
    remedy: str = ""
    needed: bool = False

    @property
    def harmful(self) -> bool:
        """Whether livemef cannot run because of this."""
        return self.needed and self.state != "ok"


def package(area: str, module: str, distribution: str, purpose: str, remedy: str, needed: bool = False) -> Finding:
    """Whether a Python package is installed, without importing it."""
    if importlib.util.find_spec(module) is None:
        return Finding(area, distribution, "missing", purpose, remedy, needed)
    try:
        return Finding(area, distribution, "ok", f"{version(distribution)}: {purpose}", needed=needed)
    except PackageNotFoundError:  # comes with the system, not from pip
        return Finding(area, distribution, "ok", f"of the system: {purpose}", needed=needed)
