"""Remedies that name a package of pip's, as the command that installs it for this very Python."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterable

_AS_WRITTEN = "pip install 'livemef["
_COMMAND = re.compile(re.escape(_AS_WRITTEN) + r"\w+\]'")


def as_typed_here(text: str) -> str:
    """The text with `pip install 'livemef[...]'` as it works in any folder, whatever `pip` the PATH has."""
    python = shlex.quote(sys.executable)
    with_pip = importlib.util.find_spec("pip") is not None
    command = f"{python} -m pip install" if with_pip else f"pip --python {python} install"
    return text.replace(_AS_WRITTEN, f"{command} 'livemef[")


def commands_in(texts: Iterable[str]) -> list[str]:
    """The `pip install` commands that the texts name, each once, as they work here."""
    found = [command for text in texts for command in _COMMAND.findall(text)]
    return [as_typed_here(command) for command in dict.fromkeys(found)]
