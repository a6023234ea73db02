"""The compiled loops of a room as a library: the one that suits this processor.

On x86-64 each is built for any processor, with AVX2, and with AVX-512, the network also with AVX512-BF16, which
multiplies bfloat16. The environment variable LIVEMEF_CPU (bf16, avx512, avx2 or any) chooses a lesser one, for
comparison.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from livemef.engine.errors import EngineError

VARIABLE = "LIVEMEF_CPU"
FLAVOURS = ("any", "avx2", "avx512", "bf16")
"""By rising level; all but the first exist on x86-64 only, the last one of the network alone."""
EXACT = FLAVOURS.index("avx512")
"""The highest level whose loops work in single precision throughout."""


def built(folder: Path, stem: str, best: int | None = None) -> Path | None:
    """The best library of the name `stem` in `folder` that this processor can run; None where none is built.

    best: the highest level, None = that of `level`. Raises EngineError for a value of LIVEMEF_CPU that is not one of
    FLAVOURS.
    """
    for flavour in reversed(FLAVOURS[: (level() if best is None else best) + 1]):
        path = _file(folder, stem if flavour == "any" else f"{stem}_{flavour}")
        if path is not None:
            return path
    return None


def check_sources(library: ctypes.CDLL, folder: Path) -> None:
    """Whether a library was compiled from the C sources in `folder` as they are. Raises EngineError if not: after an
    update of the code its structures differ, and it would give wrong pictures or crash.
    """
    files = sorted(folder.glob("*.[ch]"))
    present = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    try:
        library.sources_digest.restype = ctypes.c_char_p
        compiled_from = library.sources_digest().decode()
    except AttributeError:  # compiled before there was a digest
        compiled_from = ""
    if compiled_from != present:
        raise EngineError(
            f"the compiled loops ({library._name}) are not of the sources in {folder}: compile them again with "
            "make setup, or pip install -e ."
        )


def level() -> int:
    """Place in FLAVOURS of the best that this processor can run and LIVEMEF_CPU allows. Raises EngineError."""
    wanted = os.environ.get(VARIABLE, FLAVOURS[-1])
    if wanted not in FLAVOURS:
        raise EngineError(f"{VARIABLE}={wanted}: choose one of {', '.join(FLAVOURS)}")
    return min(_level_of_processor(), FLAVOURS.index(wanted))


@lru_cache(maxsize=1)
def _level_of_processor() -> int:
    path = _file(Path(__file__).parent, "_network")
    return 0 if path is None else int(ctypes.CDLL(str(path)).processor_level())


def _file(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if path.exists()), None)
