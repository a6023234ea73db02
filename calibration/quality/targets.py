"""Targets as data: where on a sheet the chart, slanted edges, even grey and the marks of a scale lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from livemef.calibration.errors import CalibrationError
from livemef.capture.files.small_file import read_small_file
from livemef.capture.files.toml_io import parse_toml

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Place = tuple[Finite, Finite]
Box = tuple[Finite, Finite, Positive, Positive]
LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Target:
    """A sheet with a ColorChecker Classic on it; lengths in sides of a patch, from the outer corner of dark skin.

    edges: boxes (x, y, width, height) with one slanted edge each. even: boxes of one grey. marks: centres of two round
    dark marks. patch_mm: side of a patch in millimetres, None = not known, and then there is no scale.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    source: str = ""
    patch_mm: Positive | None = None
    edges: tuple[Box, ...] = ()
    even: tuple[Box, ...] = ()
    marks: tuple[Place, Place] | None = None


_TARGETS = TypeAdapter(tuple[Target, ...])


def shipped_targets() -> tuple[Target, ...]:
    """The targets that come with livemef."""
    text = resources.files("livemef.calibration.quality").joinpath("targets.toml").read_text(encoding="utf-8")
    return _parsed("targets.toml", text)


def load_targets(path: Path) -> tuple[Target, ...]:
    """An institution's own targets, in a file like the shipped one. Raises CalibrationError."""
    try:
        return _parsed(str(path), read_small_file(path, LIMIT_BYTES).decode())
    except OSError as error:
        raise CalibrationError(f"targets {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CalibrationError(f"targets {path}: is not UTF-8 text") from None


def find_target(targets: Sequence[Target], name: str) -> Target:
    """The target of this name. Raises CalibrationError that names all."""
    for target in targets:
        if target.name == name:
            return target
    raise CalibrationError(f"target {name}: not known; there are {', '.join(target.name for target in targets)}")


def _parsed(name: str, text: str) -> tuple[Target, ...]:
    try:
        return _TARGETS.validate_python(parse_toml(text).get("target", []))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CalibrationError(f"targets {name}: target {place}: {first['msg']}") from None
    except ValueError as error:
        raise CalibrationError(f"targets {name}: not valid TOML: {error}") from None
