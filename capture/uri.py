"""Parser of camera URIs, `scheme://path?name=value&...`, and of the values in their query."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from livemef.capture.errors import CaptureError

Value = TypeVar("Value")
Reader = Callable[[str], Any]
"""Parser of one value; raises ValueError with what was expected."""

_DURATION = re.compile(r"([0-9.eE+-]+?)\s*(us|µs|ms|s)")
_MICROSECONDS = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True)
class CameraUri:
    """The parts of a camera URI. `path` is all that stands between `://` and `?`, so `file://../x` keeps its dots."""

    text: str
    scheme: str
    path: str
    query: Mapping[str, str]


def parse_uri(text: str) -> CameraUri:
    """Parse a camera URI. Raises CaptureError for what is not `scheme://...` or names a parameter twice."""
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme:
        raise CaptureError(f"camera '{text}' is not a URI: {_likely_uri(text)}")
    path, _, query_text = rest.partition("?")
    query: dict[str, str] = {}
    for pair in filter(None, query_text.split("&")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise CaptureError(f"camera '{text}': parameter '{name}' has no value: write {name}=...")
        if name in query:
            raise CaptureError(f"camera '{text}': parameter '{name}' is given twice")
        query[name] = unquote(value)
    return CameraUri(text, scheme.lower(), unquote(path), query)


def _likely_uri(text: str) -> str:
    """What to write instead of a device, a number or a folder."""
    if text.startswith("/dev/video") or re.fullmatch(r"video\d+", text):
        return f"write v4l2:///dev/{text.removeprefix('/dev/')}"
    if text.isdecimal():
        return f"write v4l2:///dev/video{text} for a USB camera, csi://{text} or argus://{text} for one on the board"
    if text and Path(text).exists():
        return f"write file://{text}"
    return "write scheme://..., for instance sim:// or file://DIR"


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown word: the nearest known word, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(names)}"


def read_query(uri: CameraUri, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The query's values by name, each parsed by its reader. Raises CaptureError for an unknown name or a bad value."""
    values = {}
    for name, text in uri.query.items():
        if name not in readers:
            raise CaptureError(f"camera '{uri.text}': unknown parameter '{name}': {nearest(name, readers)}")
        try:
            values[name] = readers[name](text)
        except ValueError as error:
            raise CaptureError(f"camera '{uri.text}': {name}={text}: {error}") from None
    return values


def one_of(choices: Mapping[str, Value]) -> Callable[[str], Value]:
    """Reader of one of the words that are the keys of `choices`; returns its value."""

    def read(text: str) -> Value:
        if text not in choices:
            raise ValueError(nearest(text, choices))
        return choices[text]

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """Reader of a number between two bounds, both included."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Reader of a whole number between two bounds, both included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return read


def duration_us(text: str) -> float:
    """Reader of a duration with its unit (us, µs, ms, s), in microseconds: 250us, 4ms, 0.5s."""
    match = _DURATION.fullmatch(text.strip())
    try:
        value = float(match[1]) * _MICROSECONDS[match[2]] if match else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError("expected a duration with its unit, for instance 250us, 4ms or 0.5s")
    return value


def span(item: Callable[[str], float]) -> Callable[[str], tuple[float, float]]:
    """Reader of a range `low..high` (both of the same kind), for instance 20us..33ms."""

    def read(text: str) -> tuple[float, float]:
        low_text, dots, high_text = text.partition("..")
        if not dots:
            raise ValueError("expected a range low..high")
        low, high = item(low_text), item(high_text)
        if low > high:
            raise ValueError("the range's low end is above its high end")
        return low, high

    return read


def picture_size(text: str) -> tuple[int, int]:
    """Reader of WIDTHxHEIGHT in pixels, both even (a colour filter array has 2x2 cells), from 16 to 8192."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(16 <= side <= 8192 and side % 2 == 0 for side in size):
        raise ValueError("expected WIDTHxHEIGHT, even numbers from 16 to 8192, for instance 1280x720")
    return size


def switch(text: str) -> bool:
    """Reader of on or off."""
    return one_of({"on": True, "off": False})(text)
