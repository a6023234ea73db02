"""ImageMagick, another reader of our files: `needs_imagemagick` skips a test where it is not installed.

A program named `convert` may be something else (Windows has one that changes file systems), so its version is read.
"""

import shutil
import subprocess
from pathlib import Path

import pytest


def _find() -> str | None:
    for name in ("convert", "/usr/bin/convert"):
        program = shutil.which(name)
        if program is None:
            continue
        version = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30)
        if "ImageMagick" in version.stdout:
            return program
    return None


CONVERT = _find()
needs_imagemagick = pytest.mark.skipif(CONVERT is None, reason="needs ImageMagick (apt install imagemagick)")


def convert(*arguments: str | Path, folder: Path | None = None) -> bytes:
    """What ImageMagick's `convert` prints."""
    assert CONVERT is not None
    command = [CONVERT, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=True).stdout
