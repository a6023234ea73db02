"""Combines the sources of settings: built-in defaults, a TOML file, LIVEMEF_* variables, flags, in rising priority.

An unknown key is an error that names its place and the nearest known key.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from livemef.capture.files.small_file import read_small_file
from livemef.capture.files.toml_io import parse_toml
from livemef.fusion.errors import FusionError
from livemef.tools.config.schema import Config
from livemef.tools.config.toml_lines import lines_of_keys
from livemef.tools.exits import UserError

PREFIX = "LIVEMEF_"
NOT_SETTINGS = ("LIVEMEF_CONFIG", "LIVEMEF_DATA", "LIVEMEF_CONTROL_TOKEN", "LIVEMEF_CPU")
"""The file itself; the tests' photographs; what `livemef ctl` sends."""
CAMERAS = "control.cameras."
"""Keys below it are names that the user has chosen."""
IN_LINES_OR_FULL = ("fusion.network_lines", "stills.network_lines")
_FLAGS = {
    "publish.endpoint": "--publish",
    "control.endpoint": "--control",
    "preview.enabled": "--no-preview",
    "preview.host": "--preview",
    "preview.port": "--preview",
}
FILE_LIMIT_BYTES = 128 << 10


@dataclass(frozen=True)
class Setting:
    """A value that was set. key: dotted. origin: where, such as "livemef.toml, line 3", a variable or a flag."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class LoadedConfig:
    """The effective configuration. origins: where each key was set, for keys that were."""

    config: Config
    origins: Mapping[str, str]


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one table with dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def known_keys() -> tuple[str, ...]:
    """All keys of the configuration, dotted."""
    return tuple(flatten(Config().model_dump()))


def variable_name(key: str) -> str:
    """The environment variable of a key: fusion.gamma is LIVEMEF_FUSION__GAMMA."""
    return PREFIX + key.upper().replace(".", "__")


def flag_name(key: str) -> str:
    """The flag that sets a key: fusion.network_lines is --network-lines, whatever the verb."""
    return _FLAGS.get(key, "--" + key.rsplit(".", 1)[1].replace("_", "-"))


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most similar to `word`, by the whole and by the part after the last dot."""

    def likeness(candidate: str) -> float:
        whole = difflib.SequenceMatcher(None, word, candidate).ratio()
        last = difflib.SequenceMatcher(None, word.rsplit(".", 1)[-1], candidate.rsplit(".", 1)[-1]).ratio()
        return whole + last

    return max(known, key=likeness)


def _read_text(path: Path) -> str:
    try:
        return read_small_file(path, FILE_LIMIT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"configuration file {path}: not UTF-8 text; is this the right file?") from error
    except OSError as error:
        raise UserError(f"configuration file {path}: {error.strerror}") from error


def read_file(path: Path) -> list[Setting]:
    """The settings of a TOML file. Raises UserError, with the line where it is known."""
    text = _read_text(path)
    try:
        flat = flatten(parse_toml(text))
    except ValueError as error:
        raise UserError(f"configuration file {path}: not valid TOML: {error}") from error
    lines = lines_of_keys(text)
    places = {key: f"{path}, line {lines[key]}" if key in lines else str(path) for key in flat}
    known = flatten(Config().model_dump())
    for key, value in flat.items():
        if key not in known and not key.startswith(CAMERAS):
            raise UserError(f"{places[key]}: no setting is called {key}; the nearest is {nearest(key, known)}")
        if isinstance(value, bool) and not isinstance(known.get(key, True), bool):  # pydantic would make it 1 or 0
            raise UserError(f"{places[key]}: {key}: is {str(value).lower()}; it is no switch, give a value")
    return [Setting(key, value, places[key]) for key, value in flat.items()]


def read_environment(environ: Mapping[str, str]) -> list[Setting]:
    """The settings of the LIVEMEF_* variables."""
    keys = {variable_name(key): key for key in known_keys()}
    settings = []
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        if name not in keys:
            raise UserError(f"environment variable {name}: no such setting; the nearest is {nearest(name, keys)}")
        settings.append(Setting(keys[name], value, name))
    return settings


def _flag_settings(flags: Mapping[str, Any]) -> Iterator[Setting]:
    known = known_keys()
    for key, value in flags.items():
        if key not in known:
            raise KeyError(key)
        if value is not None:
            yield Setting(key, value, flag_name(key))


def _plain(setting: Setting) -> Any:
    """The value in the type of its setting: "full" lines are 0."""
    if setting.key in IN_LINES_OR_FULL and setting.value == "full":
        return 0
    return setting.value


def _nested(settings: Iterable[Setting]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for setting in settings:
        *folders, name = setting.key.split(".")
        table = tables
        for folder in folders:
            table = table.setdefault(folder, {})
        table[name] = _plain(setting)
    return tables


def _origin(table: str, message: str, origins: Mapping[str, str]) -> str:
    """Origin of the setting of `table` that `message` names; all origins of the table if it names none."""
    places = {key: origin for key, origin in origins.items() if key.startswith(table + ".")}
    named = {origin for key, origin in places.items() if key.rsplit(".", 1)[1] in message.split()}
    return ", ".join(sorted(named or set(places.values()))) or "configuration"


def _first_fault(error: ValidationError, origins: Mapping[str, str]) -> str:
    faults = error.errors()
    place = faults[0]["loc"][:2]  # what follows names the branches of a union
    key = ".".join(str(part) for part in place)
    if f"{key}." == CAMERAS:
        return _fault_of_cameras(faults[0]["loc"], faults[0]["msg"], origins)
    reason = ", or ".join(fault["msg"] for fault in faults if fault["loc"][:2] == place)
    if len(place) == 1:
        return f"{_origin(key, reason, origins)}: [{key}] {reason.removeprefix('Value error, ')}"
    reason, origin = reason.lower().replace("input should be", "must be"), origins.get(key, "configuration")
    if origin == flag_name(key):
        return f"{origin} {faults[0]['input']}: {reason}"
    return f"{origin}: {key}: {reason}; got {faults[0]['input']!r}"


def _fault_of_cameras(place: tuple[int | str, ...], reason: str, origins: Mapping[str, str]) -> str:
    name = str(place[2]) if len(place) > 2 else ""
    own = {origin for key, origin in origins.items() if f"{key}.".startswith(f"{CAMERAS}{name}")}
    what = (
        f'give a URI, or {{ camera = "URI", profile = "FILE" }}; names have letters, digits, - and _ ({reason.lower()})'
    )
    return f"{', '.join(sorted(own)) or 'configuration'}: {CAMERAS}{name}: {what}"


def combine(settings: Iterable[Setting]) -> LoadedConfig:
    """The configuration of these settings; later ones override earlier ones. Raises UserError for a wrong value."""
    settings = list(settings)
    origins = {setting.key: setting.origin for setting in settings}
    try:
        config = Config.model_validate(_nested(settings))
    except ValidationError as error:
        raise UserError(_first_fault(error, origins)) from error
    except FusionError as error:
        raise UserError(f"{_origin('fusion', str(error), origins)}: {error}") from error
    return LoadedConfig(config, origins)


def named_camera(loaded: LoadedConfig) -> str:
    """The camera's URI, if it was set. Raises UserError if it is the default, which is the simulated camera."""
    if "capture.camera" not in loaded.origins:
        raise UserError(
            "no camera is named: give --camera URI, for instance v4l2:///dev/video0 or csi://0 (livemef cameras lists "
            "those that are here); sim:// is the simulated one"
        )
    return loaded.config.capture.camera


def file_in_force(file: Path | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file: `file`, else the one that LIVEMEF_CONFIG names, if any."""
    named = (os.environ if environ is None else environ).get("LIVEMEF_CONFIG")
    return file or (Path(named) if named else None)


def load_config(
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """The effective configuration. `file` None: the one that LIVEMEF_CONFIG names, if any.

    `flags` maps dotted keys to values, None for a flag that was not given. Raises UserError.
    """
    environ = os.environ if environ is None else environ
    file = file_in_force(file, environ)
    settings = read_file(file) if file is not None else []
    settings += read_environment(environ)
    settings += _flag_settings(flags or {})
    return combine(settings)
