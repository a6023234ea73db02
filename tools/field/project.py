"""A project of field capture: its folder, and project.toml, which says how its objects are captured."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from livemef.capture.files.small_file import read_small_file
from livemef.capture.files.toml_io import parse_toml
from livemef.tools.exits import UserError

FILE = "project.toml"
LIMIT_BYTES = 1 << 20


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Institution(_Table):
    """Who the pictures belong to; goes into every bag and file."""

    name: str = ""
    rights: str = ""


class Objects(_Table):
    """pattern: regular expression that a whole object id must match. parts: how the folder's name of a further part of
    an object ends; {} stands for its number. codes: read codes in the picture of each take.
    """

    pattern: str = "[A-Za-z0-9][A-Za-z0-9 ._/-]*"
    parts: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*\{(:0[1-9]d)?\}[A-Za-z0-9._-]*$")] = "_p{:04d}"
    codes: bool = False


class Work(_Table):
    """operator, rig and lamp of a session, in words."""

    operator: str = ""
    rig: str = "rig"
    lamp: str = ""


class Capture(_Table):
    """camera: URI. exposures: plan such as "1ms,8ms,64ms". frames: of each exposure, merged. keep: brackets kept.
    raw: store and merge raw frames where the camera gives them.
    """

    camera: str = "sim://"
    raw: bool = True
    exposures: str = "auto"
    frames: Annotated[int, Field(ge=1, le=64)] = 8
    keep: Annotated[int, Field(ge=1, le=64)] = 1
    profile: str = ""
    limit_s: Annotated[float, Field(gt=0, le=600)] = 20.0


class Access(_Table):
    """The pictures to look at."""

    jpeg_long_side: Annotated[int, Field(ge=256, le=30000)] = 3000
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 92


class Store(_Table):
    """second: folder on another disk for the second copy, "" = none. reserve_gb: space that is left free."""

    second: str = ""
    reserve_gb: Annotated[float, Field(ge=0)] = 1.0


class Target(_Table):
    """definition: the target's name, as livemef quality knows it. definitions: a file of own ones, "" = the shipped.
    corners: of the chart in the picture, eight numbers; empty = looked for. levels: what quality is held against.
    before_first: no object is taken before a target. every_hours, every_objects: a target is due again after so much,
    0 = never.
    """

    definition: str = "colorchecker-classic"
    definitions: str = ""
    corners: tuple[float, ...] = ()
    before_first: bool = True
    every_hours: Annotated[float, Field(ge=0)] = 2.0
    every_objects: Annotated[int, Field(ge=0)] = 200
    levels: tuple[str, ...] = ("fadgi-2023/general-collections/3", "iso-19264-1/B")


class Project(_Table):
    """All of project.toml."""

    institution: Institution = Institution()
    object: Objects = Objects()
    session: Work = Work()
    capture: Capture = Capture()
    target: Target = Target()
    access: Access = Access()
    store: Store = Store()


def template() -> str:
    """The annotated project.toml of a new project."""
    return resources.files("livemef.tools.field").joinpath("project.toml").read_text(encoding="utf-8")


def load_project(folder: Path) -> Project:
    """Read a project's settings. Raises UserError that names the key."""
    path = folder / FILE
    try:
        project = Project.model_validate(parse_toml(read_small_file(path, LIMIT_BYTES).decode()))
    except FileNotFoundError:
        raise UserError(f"{folder}: is no project: it has no {FILE}; livemef shoot new {folder} makes one") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None
    try:
        re.compile(project.object.pattern)
    except re.error as error:
        raise UserError(f"{path}: object.pattern: is no regular expression: {error}") from None
    return project
