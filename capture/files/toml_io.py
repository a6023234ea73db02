"""TOML text from anybody: parsed, or refused with a ValueError, within bounded time and memory."""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_CHARACTERS = 8 << 20
_LONG_KEY = re.compile(r"(?:[\w\"'-]+[ \t]*\.[ \t]*){32}")
"""The parser's time grows with the square of a dotted key's parts; nobody's settings are that deep."""


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML document. Raises ValueError (with the line where known) for what is none."""
    text = text.removeprefix("\ufeff")  # the byte order mark that editors on Windows write
    if len(text) > MOST_CHARACTERS:
        raise ValueError("longer than 8 MiB")
    for number, line in enumerate(text.splitlines(), 1):
        if _LONG_KEY.match(line.lstrip(" \t[")):
            raise ValueError(f"line {number}: a key of more than 32 parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise ValueError("a number has too many digits") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
