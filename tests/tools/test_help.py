"""The help of every verb: without any extra, with the defaults and an example that the verb itself accepts."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from livemef.tools.cli import application
from livemef.tools.exits import EXTRAS
from livemef.tools.options import default_of

_ALL_HELP = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # as if it were not installed
from livemef.tools.cli import main
for line in sys.argv[2:]:
    print("==", line)
    assert main([*line.split(), "--help"]) == 0, line
"""


def verbs() -> Iterator[list[str]]:
    """Every verb as it is typed, with the verbs of verbs."""
    yield from _verbs_of(application(), [])


def _verbs_of(command: Any, typed: list[str]) -> Iterator[list[str]]:
    names = [name for name, listed in getattr(command, "commands", {}).items() if not listed.hidden]
    if not names:
        yield typed
    for name in names:
        with command.make_context("livemef", [name, "--help"], resilient_parsing=True) as context:
            _, loaded, _ = command.resolve_command(context, [name])
        yield from _verbs_of(loaded, [*typed, name])


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """Each verb's help, as a process prints it that has no extra."""
    lines = [" ".join(verb) for verb in verbs()]
    command = [sys.executable, "-c", _ALL_HELP, ",".join(EXTRAS), *lines]
    environment = os.environ | {"COLUMNS": "160", "TERM": "dumb"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    texts = re.split(r"^== (.*)$", done.stdout, flags=re.MULTILINE)
    return dict(zip(texts[1::2], texts[2::2], strict=True))


def example_in(text: str) -> list[str]:
    """The words after `livemef` of the first example."""
    found = re.search(r"Examples?: livemef (.*?)(?:;|\n\s*\n|\Z)", text, re.DOTALL)
    return shlex.split(found[1]) if found else []


def test_there_are_all_verbs(helps: dict[str, str]) -> None:
    assert {"run", "fuse", "calibrate delay", "lab train", "lab export", "lab label", "watch"} <= helps.keys()


def test_every_help_has_an_example_that_the_verb_accepts(helps: dict[str, str]) -> None:
    for line, text in helps.items():
        command, arguments = application(), example_in(text)
        assert arguments[: len(line.split())] == line.split(), f"{line}: no example in {text[:600]}"
        while getattr(command, "commands", None):
            with command.make_context("livemef", list(arguments), resilient_parsing=True) as context:
                _, command, arguments = command.resolve_command(context, arguments)
        command.make_context(line, list(arguments)).close()  # raises for what it does not know


def test_defaults_are_shown(helps: dict[str, str]) -> None:
    text = " ".join(helps["run"].split())
    for key in ("capture.exposures", "publish.codec", "publish.endpoint", "runtime.model", "fusion.gamma"):
        assert f"[default: ({default_of(key)})]" in text
    assert "[default: (127.0.0.1:8080)]" in text
    assert "[default: 100]" in " ".join(helps["record"].split())
