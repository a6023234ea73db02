"""One object is one bag (BagIt 1.0, RFC 8493), made beside its place and put there by one rename."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from livemef.tools.exits import UserError

CHECKSUMS = ("sha256", "sha512")


def make_bag(staging: Path, info: Mapping[str, str]) -> None:
    """Turn a folder of files into a bag with them as its payload, all of it on the disk when this returns.

    Raises UserError if the bag is not valid right after: a disk that does not give back what was written to it.
    """
    import bagit

    here = Path.cwd()
    try:
        bagit.make_bag(str(staging), dict(info), checksums=list(CHECKSUMS))
    finally:
        os.chdir(here)  # the library leaves the folder it went into only when all goes well
    sync_tree(staging)
    if problem := bag_problem(staging):
        raise UserError(f"{staging.name}: what was written is not what is read back: {problem}")


def bag_problem(folder: Path, fast: bool = False) -> str:
    """What is wrong with a bag; "" if it is valid. fast: sizes and names alone, without reading the files."""
    import bagit

    try:
        bagit.Bag(str(folder)).validate(fast=fast)
    except (bagit.BagError, OSError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


def commit(staging: Path, place: Path) -> None:
    """Put a finished bag into its place, in one step. Nothing is replaced: raises UserError if the place is taken."""
    if place.exists():
        raise UserError(f"{place}: is there already; nothing is overwritten")
    staging.rename(place)
    sync_folder(place.parent)
    sync_folder(staging.parent)


def sync_tree(folder: Path) -> None:
    """Every file and folder below, and the folder itself, on the disk."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """The names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
