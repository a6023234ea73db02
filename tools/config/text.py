"""The configuration as text: the annotated default file with the effective values put in."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import tomlkit

from livemef.tools.config.sources import CAMERAS, IN_LINES_OR_FULL, LoadedConfig, flatten

SECRETS = ("preview.token",)


def annotated_default() -> str:
    """The shipped file: every key with its comment and its built-in default."""
    return resources.files("livemef.tools.config").joinpath("livemef.toml").read_text(encoding="utf-8")


@cache
def comments_of_keys() -> dict[str, str]:
    """What the shipped file says of each dotted key, as one line."""
    comments: dict[str, str] = {}
    table, lines = "", []
    for line in annotated_default().splitlines():
        if line.startswith("#"):
            lines.append(line.lstrip("# "))
            continue
        if line.startswith("["):
            table = line.strip("[] ")
        elif "=" in line:
            comments[f"{table}.{line.partition('=')[0].strip()}"] = " ".join(lines)
        lines = []
    return comments


def effective_toml(loaded: LoadedConfig) -> str:
    """The effective configuration as valid annotated TOML; a value that was set has a comment with the place."""
    document: Any = tomlkit.parse(annotated_default())
    values = flatten(loaded.config.model_dump())
    for key, origin in loaded.origins.items():
        if key.startswith(CAMERAS):
            continue
        table, name = key.split(".", 1)
        value, comment = values[key], origin
        if key in IN_LINES_OR_FULL and value == 0:
            value = "full"
        if key in SECRETS and value:
            value, comment = "", f"set by {origin}; a secret is not printed"
        item = tomlkit.item(value)
        item.comment(_printable(comment))
        item.trivia.comment_ws = "  "
        document[table][name] = item
    for name, camera in loaded.config.control.cameras.items():
        document["control"]["cameras"][name] = tomlkit.inline_table() | camera.model_dump()
    return str(document.as_string())


def _printable(text: str) -> str:
    """A path may hold control characters, a TOML comment may not."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def print_config(loaded: LoadedConfig) -> None:
    """`--print-config`: the effective configuration on the standard output."""
    print(effective_toml(loaded), end="")
