"""Remedies that name a package of pip's, as the command that installs it for this very Python."""

from __future__ import annotations

import importlib.util
import shlex
import sys

_AS_WRITTEN = "pip install 'livemef["


def as_typed_here(text: str) -> str:
    """The text with `pip install 'livemef[...]'` as it works in any folder, whatever `pip` the PATH has."""
    python = shlex.quote(sys.executable)
    with_pip = importlib.util.find_spec("pip") is not None
    command = f"{python} -m pip install" if with_pip else f"pip --python {python} install"
    return text.replace(_AS_WRITTEN, f"{command} 'livemef[")
