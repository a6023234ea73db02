"""The line of each key in a TOML text, for messages that name the place of a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, InlineTable, Item, Table


def lines_of_keys(text: str) -> dict[str, int]:
    """Line number, from 1, of each dotted key; of its first place where it has several. Empty for invalid TOML.

    tomlkit keeps no line numbers, but writes a document back exactly as it was read. So the key is marked in the white
    space before it, and the mark is looked up in the text that is written back.
    """
    try:
        document = tomlkit.parse(text)
    except TOMLKitError:
        return {}
    keys: list[str] = []
    for key, item in _items(document.body, ""):
        item.trivia.indent += f"\0{len(keys)}\0"  # TOML allows no NUL, so none was there
        keys.append(key)
    lines: dict[str, int] = {}
    for number, line in enumerate(document.as_string().split("\n"), 1):
        for mark in re.findall("\0(\\d+)\0", line):
            lines.setdefault(keys[int(mark)], number)
    return lines


def _items(body: list[tuple[Any, Item]], prefix: str) -> Iterator[tuple[str, Item]]:
    for key, item in body:
        if key is not None:  # None: a comment or an empty line
            yield prefix + key.key, item.body[0] if isinstance(item, AoT) else item
            if isinstance(item, Table | InlineTable):
                yield from _items(item.value.body, f"{prefix}{key.key}.")
