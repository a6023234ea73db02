"""The outcome of a request to the control API: a status as in HTTP, and a body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from livemef.tools.config.live_keys import Wrong


@dataclass(frozen=True)
class Outcome:
    """status: 200 ... 599; body: JSON values, for an error a problem (RFC 9457). file: the answer, where it is one."""

    status: int = 200
    body: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None

    @property
    def refused(self) -> bool:
        """Whether nothing was done."""
        return self.status >= 400


def problem(status: int, detail: str, errors: Sequence[Wrong] = (), **more: Any) -> Outcome:
    """A refusal. detail: one line: what was wrong, what to do."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = [asdict(error) for error in errors]
    return Outcome(status, body | more)
