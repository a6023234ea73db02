"""The keys that can be changed while a pipeline runs, what each allows, and the check of a change. Pure.

This is the allow-list of the control API. No value of it names a file, a device, an address or a command: a camera is
chosen by a name that the configuration file has given it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_args

from livemef.capture.errors import CaptureError
from livemef.capture.session import planned_exposures
from livemef.errors import LivemefError
from livemef.fusion.settings import ALLOWED, Allowed, FusionSettings
from livemef.tools.config.schema import NAME, CaptureConfig, Config, ControlConfig, PublishConfig, RuntimeConfig
from livemef.tools.config.sources import known_keys, nearest
from livemef.tools.config.text import comments_of_keys

Applies = Literal["next-bracket", "new-epoch", "capture-restart", "fusion-restart"]
Kind = Literal["number", "integer", "text", "choice"]

TABLES = ("fusion", "capture", "publish", "runtime", "control")
LONGEST_TEXT = 200
CAMERA = "control.camera"
_NO_RANGE = Allowed()


@dataclass(frozen=True)
class LiveKey:
    """A key that can be changed. kind: of its values. allowed: its range and words. choices: of a "choice". pattern: of
    a "text".
    """

    key: str
    kind: Kind
    applies: Applies
    allowed: Allowed = _NO_RANGE
    choices: tuple[Any, ...] = ()
    unit: str = ""
    pattern: str = r".{1,200}"

    def fault(self, value: object) -> str:
        """What is wrong with a value; "" = nothing."""
        if self.kind == "choice":
            fits = any(value == choice and type(value) is type(choice) for choice in self.choices)
        elif self.kind == "text":
            fits = isinstance(value, str) and re.fullmatch(self.pattern, value) is not None
        else:
            fits = self.allowed.holds(value) and not (self.kind == "integer" and isinstance(value, float))
        return "" if fits else f"is {_shown(value)}; it must be {self.in_words}"

    @property
    def in_words(self) -> str:
        """What is allowed, for messages."""
        if self.kind == "choice":
            *others, last = [repr(choice) for choice in self.choices]
            return f"{', '.join(others)} or {last}"
        if self.kind == "text":
            return "a camera's name" if self.key == CAMERA else f"a text of up to {LONGEST_TEXT} characters"
        return ("a whole number, " if self.kind == "integer" else "") + str(self.allowed)

    def described(self) -> dict[str, Any]:
        """The key as GET /settings shows it (docs/control.md)."""
        values: dict[str, Any] = {"type": self.kind, "applies": self.applies, "unit": self.unit}
        if self.kind == "choice":
            values["words"] = list(self.choices)
        elif self.kind != "text":
            values |= {"minimum": self.allowed.low, "maximum": self.allowed.high, "words": list(self.allowed.words)}
            values["zero"] = self.allowed.zero
        table, name = self.key.split(".")
        default = getattr(getattr(Config(), table), name)
        return values | {"default": default, "help": comments_of_keys().get(self.key, "")}


_INTEGERS = ("network_lines", "window_radius")
_UNITS = {"network_lines": "lines", "white": "L*", "window_radius": "pixels", "window_eps": "L*²"}


def _fusion_key(name: str, allowed: Allowed) -> LiveKey:
    kind: Kind = "choice" if allowed.low is None else "integer" if name in _INTEGERS else "number"
    return LiveKey(f"fusion.{name}", kind, "next-bracket", allowed, allowed.words, _UNITS.get(name, ""))


def _choices(model: type[CaptureConfig | PublishConfig | RuntimeConfig], name: str) -> tuple[Any, ...]:
    return get_args(model.model_fields[name].annotation)


LIVE_KEYS = {
    key.key: key
    for key in (
        *(_fusion_key(name, allowed) for name, allowed in ALLOWED.items()),
        LiveKey("capture.exposures", "text", "new-epoch"),
        LiveKey("capture.gain", "number", "new-epoch", Allowed(0.001, 1000), unit="linear"),
        LiveKey("capture.mains_hz", "choice", "next-bracket", choices=_choices(CaptureConfig, "mains_hz"), unit="Hz"),
        LiveKey("capture.bracket_mode", "choice", "next-bracket", choices=_choices(CaptureConfig, "bracket_mode")),
        LiveKey("publish.codec", "choice", "next-bracket", choices=_choices(PublishConfig, "codec")),
        LiveKey("runtime.device", "choice", "fusion-restart", choices=_choices(RuntimeConfig, "device")),
        LiveKey("runtime.threads", "integer", "fusion-restart", Allowed(0, 256)),
        LiveKey(CAMERA, "text", "capture-restart", pattern=f"({NAME})?"),
    )
}


@dataclass(frozen=True)
class Wrong:
    """What is wrong with one key of a change. allowed: what it may be, "" where that is no help."""

    key: str
    message: str
    allowed: str = ""


class ChangeRefused(LivemefError):
    """A change that cannot be made. `errors` has an entry for each key that is wrong."""

    def __init__(self, errors: Sequence[Wrong]) -> None:
        super().__init__("; ".join(f"{error.key} {error.message}" for error in errors))
        self.errors = tuple(errors)


def check_change(table: str, change: Mapping[str, Any]) -> None:
    """Raises ChangeRefused, with all that is wrong, for what can be changed in no configuration."""
    errors = [wrong for name, value in change.items() if (wrong := _wrong(f"{table}.{name}", value)) is not None]
    if errors:
        raise ChangeRefused(errors)


def changed_config(config: Config, table: str, change: Mapping[str, Any]) -> Config:
    """The configuration with these keys of `table` changed. Raises ChangeRefused, with all that is wrong."""
    check_change(table, change)
    before = getattr(config, table)
    if isinstance(before, FusionSettings):
        return config.model_copy(update={table: replace(before, **change)})
    after = before.model_copy(update=dict(change))
    if isinstance(after, CaptureConfig):
        _check_exposures(after)
    if isinstance(after, ControlConfig) and after.camera not in camera_names(config):
        names = ", ".join(repr(name) for name in camera_names(config))
        what = f"it must be one of {names}" if config.control.cameras else "[control.cameras] names no camera"
        raise ChangeRefused([Wrong(CAMERA, f"is {after.camera!r}; {what}", names)])
    return config.model_copy(update={table: after})


def _wrong(key: str, value: object) -> Wrong | None:
    known = LIVE_KEYS.get(key)
    if known is not None:
        fault = known.fault(value)
        return Wrong(key, fault, known.in_words) if fault else None
    if key in known_keys():
        return Wrong(key, "cannot be changed while livemef runs: set it in the configuration and start again")
    return Wrong(key[:LONGEST_TEXT], f"is no setting; the nearest that can be changed is {nearest(key, LIVE_KEYS)}")


def _check_exposures(capture: CaptureConfig) -> None:
    try:
        planned_exposures(capture.exposures, capture.gain)
    except CaptureError as error:
        raise ChangeRefused([Wrong("capture.exposures", str(error), "auto, or for instance 1ms,16ms")]) from None


def camera_names(config: Config) -> tuple[str, ...]:
    """The names that `control.camera` may have; "" is the camera of [capture]."""
    return ("", *config.control.cameras)


def live_values(config: Config) -> dict[str, dict[str, Any]]:
    """The values of all live keys, by table."""
    values: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
    for key in LIVE_KEYS:
        table, name = key.split(".")
        values[table][name] = getattr(getattr(config, table), name)
    return values


def differences(before: Config, after: Config) -> dict[str, Any]:
    """The live keys that differ, dotted, with their values in `after`."""
    old, new = live_values(before), live_values(after)
    return {
        f"{table}.{name}": value
        for table, values in new.items()
        for name, value in values.items()
        if value != old[table][name]
    }


@cache
def described_keys() -> dict[str, dict[str, Any]]:
    """All live keys as GET /settings shows them, but for the names of cameras."""
    return {name: key.described() for name, key in LIVE_KEYS.items()}


def described_keys_of(config: Config) -> dict[str, dict[str, Any]]:
    """All live keys as GET /settings shows them."""
    keys = described_keys()
    return keys | {CAMERA: keys[CAMERA] | {"type": "choice", "words": list(camera_names(config))}}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
