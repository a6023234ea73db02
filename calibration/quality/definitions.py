"""Definitions that are found by name in TOML files: those that come with livemef, or an institution's own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from livemef.calibration.errors import CalibrationError
from livemef.capture.files.small_file import read_small_file
from livemef.capture.files.toml_io import parse_toml

LIMIT_BYTES = 1 << 20


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


Item = TypeVar("Item", bound=Named)


class Definitions(Generic[Item]):
    """kind: name of the array of tables in a file; the shipped file is named by its plural. adapter: of the array."""

    def __init__(self, kind: str, adapter: TypeAdapter[tuple[Item, ...]]) -> None:
        self._kind, self._adapter = kind, adapter

    def shipped(self) -> tuple[Item, ...]:
        """Those that come with livemef."""
        name = f"{self._kind}s.toml"
        text = resources.files("livemef.calibration.quality").joinpath(name).read_text(encoding="utf-8")
        return self._parsed(name, text)

    def load(self, path: Path) -> tuple[Item, ...]:
        """An institution's own, in a file like the shipped one. Raises CalibrationError."""
        try:
            return self._parsed(str(path), read_small_file(path, LIMIT_BYTES).decode())
        except OSError as error:
            raise CalibrationError(f"{self._kind}s {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise CalibrationError(f"{self._kind}s {path}: is not UTF-8 text") from None

    def find(self, known: Sequence[Item], name: str) -> Item:
        """The one of this name. Raises CalibrationError that names all."""
        for one in known:
            if one.name == name:
                return one
        raise CalibrationError(f"{self._kind} {name}: not known; there are {', '.join(one.name for one in known)}")

    def _parsed(self, name: str, text: str) -> tuple[Item, ...]:
        try:
            return self._adapter.validate_python(parse_toml(text).get(self._kind, []))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise CalibrationError(f"{self._kind}s {name}: {self._kind} {place}: {first['msg']}") from None
        except ValueError as error:
            raise CalibrationError(f"{self._kind}s {name}: not valid TOML: {error}") from None
