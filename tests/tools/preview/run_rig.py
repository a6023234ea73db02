"""A running pipeline with its page, which keeps its files in a folder of the test's."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.run.test_live_control import Controlled


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Controlled]:
    """`livemef run ARGUMENTS` with a page; state and recordings go to `folder`."""
    sockets = tempfile.mkdtemp(prefix="livemef-")  # a socket's path is short
    places = {"XDG_STATE_HOME": folder / "state", "XDG_DATA_HOME": folder / "data", "XDG_RUNTIME_DIR": sockets}
    try:
        with pytest.MonkeyPatch.context() as environment:
            for name, place in places.items():
                environment.setenv(name, str(place))
            run = Controlled(*arguments)
        try:
            yield run
        finally:
            run.pipeline.process.kill()
            run.pipeline.process.wait()
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
