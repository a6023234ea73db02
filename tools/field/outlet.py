"""`livemef shoot deliver` and `export`: what leaves a project, checked first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from livemef.tools.exits import DONE, SURROUNDINGS, UserError
from livemef.tools.field.bag import bag_problem, commit, sync_tree
from livemef.tools.field.project import load_project
from livemef.tools.field.session import OBJECTS, TARGETS, sessions_of

ProjectArgument = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")]


def deliver_command(
    project: ProjectArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to: a disk, a share.")],
) -> int:
    """Copy every bag of a project to another place, and check each there against its checksums.

    What is there already and valid is left as it is, so that an interrupted delivery can be repeated.

    Example: livemef shoot deliver museum -o /media/archive
    """
    load_project(project)
    if output.exists() and not output.is_dir():
        raise UserError(f"-o {output}: is a file; name a folder")
    faults, copied, there = [], 0, 0
    for bag in _bags(project):
        place = output / bag.parent.parent.name / bag.parent.name / bag.name
        if place.exists():
            there += 1
        else:
            _copy(bag, place)
            copied += 1
        if problem := bag_problem(place):
            faults.append(f"{place}: {problem}")
    for fault in faults:
        print(fault)
    print(f"{output}: {copied} bags copied, {there} were there, {len(faults)} faulty")
    return SURROUNDINGS if faults else DONE


def export_command(
    project: ProjectArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder for the JPEG pictures.")],
) -> int:
    """Copy the JPEG of every object into one folder, named after the objects. What is there is not overwritten.

    Example: livemef shoot export museum -o pictures
    """
    load_project(project)
    output.mkdir(parents=True, exist_ok=True)
    copied = left = 0
    for bag in _bags(project, (OBJECTS,)):
        for picture in sorted((bag / "data" / "access").glob("*.jpg")):
            place = output / f"{bag.name}.jpg"
            if place.exists():
                left += 1
                continue
            shutil.copyfile(picture, place)
            copied += 1
    print(f"{output}: {copied} pictures, {left} were there")
    return DONE


def _bags(project: Path, kinds: tuple[str, ...] = (OBJECTS, TARGETS)) -> list[Path]:
    folders = [session / kind for session in sessions_of(project) for kind in kinds]
    return [bag for folder in folders for bag in sorted(folder.iterdir()) if not bag.name.startswith(".")]


def _copy(bag: Path, place: Path) -> None:
    staging = place.with_name(f".{place.name}.part")
    shutil.rmtree(staging, ignore_errors=True)  # of a delivery that was interrupted
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(bag, staging)
    sync_tree(staging)
    commit(staging, place)
