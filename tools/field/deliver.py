"""`livemef shoot deliver`: a project leaves as one bag whose payload is its objects' bags (a bag of bags, RFC 8493).

Each delivery holds what those before it at the same place do not, so that deposits can follow the work.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from livemef.tools.counted import counted
from livemef.tools.exits import DONE, SURROUNDINGS, UserError
from livemef.tools.field.bag import CHECKSUMS, PAYLOAD, bag_problem, commit, make_bag, sync_folder, sync_tree
from livemef.tools.field.project import FILE, load_project
from livemef.tools.field.second_copy import MANIFEST, forget_pages
from livemef.tools.field.session import LEDGER, OBJECTS, SETTINGS, TARGETS, sessions_of

TAG_FILES = "bagit.txt", "bag-info.txt", "*manifest-*.txt"


@dataclass(frozen=True)
class Delivered:
    """What a delivery came to. place: the new bag of bags, None = nothing was new. faults: one line for each."""

    place: Path | None
    copied: int
    there: int
    faults: tuple[str, ...]


def deliver_command(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to: a disk, a share.")],
) -> int:
    """Copy a project's bags into one bag at another place, with the sessions' ledgers, and check it there.

    The bag is named after the project. A later delivery to the same place holds what is new since (NAME.d2, ...), and
    checks the earlier ones. An interrupted delivery goes on where it was when it is repeated.

    Example: livemef shoot deliver museum -o /media/archive
    """
    organization = load_project(project).institution.name
    if output.exists() and not output.is_dir():
        raise UserError(f"-o {output}: is a file; name a folder")
    done = deliver(project, output, organization)
    for fault in done.faults:
        print(fault)
    where = "nothing is new" if done.place is None else f"{done.place}: {counted(done.copied, 'bag')}"
    print(f"{where}; {done.there} delivered before, {counted(len(done.faults), 'fault')}")
    return SURROUNDINGS if done.faults else DONE


def bags_of(project: Path, kinds: tuple[str, ...] = (OBJECTS, TARGETS)) -> list[Path]:
    """The bags of all sessions, oldest session first."""
    folders = [session / kind for session in sessions_of(project) for kind in kinds]
    return [bag for folder in folders for bag in sorted(folder.iterdir()) if not bag.name.startswith(".")]


def deliver(project: Path, output: Path, organization: str = "") -> Delivered:
    """Make the next delivery of a project in a folder. Raises OSError as the disks do."""
    name = project.resolve().name
    earlier = _earlier(output, name)
    faults = [f"{place}: {problem}" for place in earlier if (problem := bag_problem(place))]
    new, there = [], 0
    for bag in bags_of(project):
        copies = [copy for place in earlier if (copy := place / PAYLOAD / _inside(bag)).exists()]
        faults += [f"{copy}: is another object of this name" for copy in copies if not _same(bag, copy)]
        there += bool(copies)
        if not copies:
            new.append(bag)
    if not new:
        return Delivered(None, 0, there, tuple(faults))
    place = _place(output, name, len(earlier) + 1)
    found = _delivery(project, new, place, organization)
    return Delivered(place, len(new), there, tuple(faults + found))


def _place(output: Path, name: str, number: int) -> Path:
    return output / (name if number == 1 else f"{name}.d{number}")


def _earlier(output: Path, name: str) -> list[Path]:
    places = (_place(output, name, number) for number in itertools.count(1))
    return list(itertools.takewhile(Path.exists, places))


def _inside(bag: Path) -> Path:
    """Where a bag lies in a delivery: SESSION/objects/NAME."""
    return Path(bag.parent.parent.name, bag.parent.name, bag.name)


def _same(bag: Path, copy: Path) -> bool:
    try:
        return (bag / MANIFEST).read_bytes() == (copy / MANIFEST).read_bytes()
    except OSError:
        return False


def _delivery(project: Path, bags: list[Path], place: Path, organization: str) -> list[str]:
    """Make one delivery; what is wrong with it if it could not be made. What was copied stays for the next attempt."""
    staging = place.with_name(f".{place.name}.part")
    (staging / PAYLOAD).mkdir(parents=True, exist_ok=True)
    for tag_file in (path for pattern in TAG_FILES for path in staging.glob(pattern)):
        tag_file.unlink()  # of a delivery that was interrupted
    shutil.copyfile(project / FILE, staging / PAYLOAD / FILE)
    for bag in bags:
        _copy(bag, staging / PAYLOAD / _inside(bag))
    for session in {bag.parent.parent for bag in bags}:
        for file in (SETTINGS, LEDGER):
            shutil.copyfile(session / file, staging / PAYLOAD / session.name / file)
    sync_tree(staging)
    forget_pages(staging)
    objects = sum(bag.parent.name == OBJECTS for bag in bags)
    info = {
        "External-Identifier": place.name,
        "Bag-Group-Identifier": project.resolve().name,
        "External-Description": f"{counted(objects, 'object')} and {counted(len(bags) - objects, 'target')} "
        "of field capture; each folder below data/SESSION/objects and data/SESSION/targets is a bag itself",
    }
    if organization:
        info["Source-Organization"] = organization
    try:
        make_bag(staging, info, _stated([staging / PAYLOAD / _inside(bag) for bag in bags]))
    except UserError as error:
        return _faults(bags, staging) or [str(error)]
    commit(staging, place)
    return []


def _copy(bag: Path, place: Path) -> None:
    """A bag that is there was copied wholly by an earlier attempt; whether it is right is found at the end."""
    if place.exists():
        return
    staging = place.with_name(f".{place.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(bag, staging)
    staging.rename(place)
    sync_folder(place.parent)


def _stated(bags: list[Path]) -> dict[Path, dict[str, str]]:
    """The checksums that bags state of their files: so the outer bag is valid only if each inner one is.

    Raises UserError for a bag that is not complete.
    """
    import bagit

    found: dict[Path, dict[str, str]] = {}
    for bag in bags:
        try:
            inner = bagit.Bag(str(bag))
            inner.validate(completeness_only=True)
        except bagit.BagError as error:
            raise UserError(f"{bag}: {' '.join(str(error).split())}") from None
        stated = {bag / name: dict(digests) for name, digests in inner.entries.items()}
        missing = [path for path in stated if not path.is_file()]
        if missing:
            raise UserError(f"{missing[0]} is missing")
        found |= stated
    return {path: digests for path, digests in found.items() if digests.keys() >= set(CHECKSUMS)}


def _faults(bags: list[Path], staging: Path) -> list[str]:
    """Which bags are not as they should be, there or here. What is wrong there is copied anew next time."""
    found = []
    for bag in bags:
        copy = staging / PAYLOAD / _inside(bag)
        if problem := bag_problem(copy):
            here = bag_problem(bag)
            found.append(f"{bag}: {here}" if here else f"{copy}: {problem}; repeat the delivery")
            shutil.rmtree(copy)
    return found
