"""`livemef shoot export`: pictures of a project's objects, for the web."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from livemef.capture.files.iiif import write_iiif
from livemef.capture.files.image_io import read_picture
from livemef.tools.counted import counted
from livemef.tools.exits import DONE
from livemef.tools.field.deliver import bags_of
from livemef.tools.field.project import load_project
from livemef.tools.field.session import OBJECTS


def export_command(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")],
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
    for bag in bags_of(project, (OBJECTS,)):
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
    print(f"{output}: {counted(made, 'picture')}, {left} there before")
    return DONE


def _tiles(picture: Path, place: Path, service: str) -> None:
    """The tiles of a picture, the whole folder or none."""
    staging = place.with_name(f".{place.name}.part")
    shutil.rmtree(staging, ignore_errors=True)  # of an export that was interrupted
    write_iiif(staging, read_picture(picture), service)
    staging.rename(place)
