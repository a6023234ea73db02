"""`livemef shoot deliver` and `export`: what leaves a project, checked first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from livemef.capture.files.iiif import write_iiif
from livemef.capture.files.image_io import read_picture
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
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder for the pictures.")],
    iiif: Annotated[
        str | None,
        typer.Option("--iiif", metavar="URL", help="Tiles for zooming viewers instead; URL of the served folder."),
    ] = None,
) -> int:
    """Copy the JPEG of every object into one folder, named after the objects. What is there is not overwritten.

    With --iiif a folder of static tiles for each object (IIIF Image API 3.0, level 0), from its fused picture.

    Example: livemef shoot export museum -o pictures; livemef shoot export museum -o web --iiif https://example.org/web
    """
    load_project(project)
    output.mkdir(parents=True, exist_ok=True)
    made = left = 0
    for bag in _bags(project, (OBJECTS,)):
        for picture in sorted((bag / "data" / "access").glob("*.jpg" if iiif is None else "*.tif")):
            place = output / (f"{bag.name}.jpg" if iiif is None else bag.name)
            if place.exists():
                left += 1
            elif iiif is None:
                shutil.copyfile(picture, place)
                made += 1
            else:
                _tiles(picture, place, f"{iiif.rstrip('/')}/{quote(bag.name)}")
                made += 1
    print(f"{output}: {made} pictures, {left} were there")
    return DONE


def _tiles(picture: Path, place: Path, service: str) -> None:
    """The tiles of a picture, the whole folder or none."""
    staging = place.with_name(f".{place.name}.part")
    shutil.rmtree(staging, ignore_errors=True)  # of an export that was interrupted
    write_iiif(staging, read_picture(picture), service)
    staging.rename(place)


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
