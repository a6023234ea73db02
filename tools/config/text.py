"""The configuration as text: the annotated default file with the effective values put in."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

from livemef.tools.config.sources import IN_LINES_OR_FULL, LoadedConfig, flatten

SECRETS = ("preview.token",)


def annotated_default() -> str:
    """The shipped file: every key with its comment and its built-in default."""
    return resources.files("livemef.tools.config").joinpath("livemef.toml").read_text(encoding="utf-8")


def toml_value(key: str, value: Any) -> str:
    """A value as TOML writes it. (A JSON string is a TOML basic string, and so are JSON's numbers and booleans.)"""
    if key in IN_LINES_OR_FULL and value == 0:
        return '"full"'
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _effective_line(key: str, loaded: LoadedConfig, values: dict[str, Any]) -> str:
    name = key.rsplit(".", 1)[-1]
    if key in SECRETS and values[key]:
        return f'{name} = ""  # set by {loaded.origins[key]}; a secret is not printed'
    origin = f"  # {loaded.origins[key]}" if key in loaded.origins else ""
    return f"{name} = {toml_value(key, values[key])}{origin}"


def effective_toml(loaded: LoadedConfig) -> str:
    """The effective configuration as valid annotated TOML; what is not a default says where it was set."""
    values = flatten(loaded.config.model_dump())
    table, lines = "", []
    for line in annotated_default().splitlines():
        if header := re.match(r"\[(\w+)\]", line):
            table = header[1]
        assignment = re.match(r"(\w+)\s*=", line)
        lines.append(_effective_line(f"{table}.{assignment[1]}", loaded, values) if assignment else line)
    return "\n".join(lines) + "\n"


def print_config(loaded: LoadedConfig) -> None:
    """`--print-config`: the effective configuration on the standard output."""
    print(effective_toml(loaded), end="")
