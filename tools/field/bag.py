"""One object is one bag (BagIt 1.0, RFC 8493), made beside its place and put there by one rename.

Bags are checked by the library bagit. They are not made by it: its `make_bag` works in the process's current folder,
which all threads of a session share, and moves the payload about where ours is written in place.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib.metadata import version
from pathlib import Path

from livemef.tools.exits import UserError

CHECKSUMS = ("sha256", "sha512")
PAYLOAD = "data"
CHUNK = 1 << 20
HASHERS = 2


def make_bag(folder: Path, info: Mapping[str, str], stated: Mapping[Path, Mapping[str, str]] | None = None) -> None:
    """Make a folder whose payload lies in its `data` a bag, all of it on the disk when this returns.

    info: for bag-info.txt. stated: checksums of files that are known already. Raises UserError if the bag is not valid
    right after: a disk that does not give back what was written to it, or a file that is not as stated; OSError as the
    disk does.
    """
    files = [path for path in sorted((folder / PAYLOAD).rglob("*")) if path.is_file()]
    known = dict(stated or {})
    known |= _digests_of(path for path in files if path not in known)
    digests = {path: known[path] for path in files}
    octets = sum(path.stat().st_size for path in digests)
    agent = f"livemef {version('livemef')}"
    fields = {"Bag-Software-Agent": agent, "Bagging-Date": date.today().isoformat(), **info}
    fields["Payload-Oxum"] = f"{octets}.{len(digests)}"
    _write(folder / "bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    _write(folder / "bag-info.txt", "".join(f"{name}: {' '.join(text.split())}\n" for name, text in fields.items()))
    _write_manifests(folder, "manifest", digests)
    tags = sorted(path for path in folder.iterdir() if path.is_file())
    _write_manifests(folder, "tagmanifest", _digests_of(tags))
    sync_tree(folder)
    if problem := bag_problem(folder):
        raise UserError(f"{folder.name}: what was written is not what is read back: {problem}")


def _write_manifests(folder: Path, kind: str, digests: Mapping[Path, Mapping[str, str]]) -> None:
    for name in CHECKSUMS:
        # names need no encoding: nobody puts a percent sign or the end of a line into them
        lines = (f"{found[name]}  {path.relative_to(folder).as_posix()}\n" for path, found in digests.items())
        _write(folder / f"{kind}-{name}.txt", "".join(lines))


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _digests_of(paths: Iterable[Path]) -> dict[Path, dict[str, str]]:
    files = list(paths)
    with ThreadPoolExecutor(HASHERS, "checksums") as threads:
        return dict(zip(files, threads.map(_digests, files), strict=True))


def _digests(path: Path) -> dict[str, str]:
    sums = {name: hashlib.new(name) for name in CHECKSUMS}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for one in sums.values():
                one.update(chunk)
    return {name: one.hexdigest() for name, one in sums.items()}


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
