"""Starting Python processes that import nothing from the current folder.

`python -m` and `python -c` put the current folder first on the import path, so that a file of the user's that is called
`selectors.py` would be run in place of Python's own. Python 3.11 has the option -P against this; 3.10 has none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_RUN_MODULE = (
    "import sys; sys.path[:] = [place for place in sys.path if place]; sys.argv = sys.argv[1:]; "
    "from runpy import run_module; run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module as `python -m` does, without the current folder on the import path."""
    return [sys.executable, "-c", _RUN_MODULE, module, *arguments]


@contextmanager
def outside_current_folder() -> Iterator[None]:
    """Be in the root folder for as long as it takes to start a process of multiprocessing's.

    Such a process looks for its first imports in the folder that it is started in; what it imports later is looked for
    where this process looks. Let its target be `run_in_folder`, for it would stay in the root folder. The current
    folder belongs to the whole process: use it where no other thread opens relative paths.
    """
    before = os.open(".", os.O_PATH | os.O_DIRECTORY)
    os.chdir("/")
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def run_in_folder(folder: str, target: Callable[..., None], *arguments: Any) -> None:
    """Change to `folder`, then call `target` with the arguments."""
    os.chdir(folder)
    target(*arguments)
