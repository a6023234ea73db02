"""Saving live settings to the configuration file that a run was started with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from livemef.tools.config.live_keys import LIVE_KEYS
from livemef.tools.config.schema import Config
from livemef.tools.config.sources import IN_LINES_OR_FULL
from livemef.tools.exits import UserError
from livemef.tools.run.outcome import Outcome, problem


@dataclass(frozen=True)
class Saver:
    """reload: the configuration of a new start; raises UserError. file: where settings are saved, None = nowhere.

    origins: where each key of a new start was set; what a variable or a flag has set stays as it is.
    """

    reload: Callable[[], Config]
    file: Path | None = None
    origins: Mapping[str, str] | None = None

    def save(self, values: Mapping[str, Any]) -> Outcome:
        """Write live keys (dotted) to the file; comments and other keys stay. Raises UserError."""
        if self.file is None:
            return problem(409, "livemef run was started without --config FILE: there is no file to save to")
        assert values.keys() <= LIVE_KEYS.keys(), values
        text = _with_values(_read(self.file), self.file, values)
        _write(self.file, text)
        overridden = sorted(key for key in values if (self.origins or {}).get(key, "").startswith(("--", "LIVEMEF_")))
        return Outcome(200, {"saved": dict(values), "overridden": overridden})


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"configuration file {file}: cannot be read: {error}") from error


def _with_values(text: str, file: Path, values: Mapping[str, Any]) -> str:
    try:
        document: Any = tomlkit.parse(text)
        for key, value in values.items():
            table, name = key.split(".")
            if table not in document:
                document[table] = tomlkit.table()
            document[table][name] = "full" if key in IN_LINES_OR_FULL and value == 0 else value
        return str(document.as_string())
    except (TOMLKitError, TypeError) as error:
        raise UserError(f"configuration file {file}: cannot be changed: {error}") from error


def _write(file: Path, text: str) -> None:
    """Whole or not at all, with the rights that it had."""
    target = file.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        mode = target.stat().st_mode & 0o777
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"configuration file {file}: cannot be written: {error.strerror}") from error
