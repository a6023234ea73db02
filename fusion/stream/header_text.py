"""A header's JSON, written from pieces of which most are as they were a picture before.

What it says and which limits it keeps is defined by `Header` and pydantic. That definition takes twice as long,
.13 ms more where caches are cold, as they are after a picture has gone through them: so its pieces are kept (a source's
exposure, the fusion settings), numbers are checked here, and whatever this does not know is left to the definition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isfinite
from typing import Any, get_args

from pydantic import TypeAdapter

from livemef.fusion.stream.codecs import Codec, Encoding, MosaicEncoding
from livemef.fusion.stream.header import (
    LONGEST_SIDE,
    VERSION,
    Header,
    MosaicLevels,
    Motion,
    Pipeline,
    Scalar,
    Source,
    SourceExposure,
    Text,
)

_HEADER: TypeAdapter[Header] = TypeAdapter(Header)
_EXPOSURE: TypeAdapter[SourceExposure] = TypeAdapter(SourceExposure)
_SETTINGS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[Text, Scalar])
_CODES, _CODECS = get_args(Encoding), get_args(Codec)
_LONGEST_TEXT, _MOST_SOURCES, _MOST_CORRECTIONS = 256, 64, 16
_INTEGERS = 2**63
_UNKNOWN_TO_THIS = AttributeError, KeyError, TypeError, ValueError


@dataclass(slots=True)
class PublisherFields:
    """The fields of a header that its publisher sets, see `Header`."""

    width: int
    height: int
    encoding: Encoding | MosaicEncoding
    step: int
    codec: Codec
    stream: str = ""
    published_wall_ns: int = 0
    mosaic: MosaicLevels | None = None
    version: int = VERSION

    def put_into(self, header: Header) -> Header:
        """The header with these fields."""
        return replace(header, **{name: getattr(self, name) for name in self.__slots__})


def header_json(header: Header, fields: PublisherFields | None = None) -> bytes:
    """The header's JSON; fields: used instead of its own. Raises ValueError (pydantic's) for one that breaks its own
    limits.
    """
    try:
        return _written(header, header if fields is None else fields).encode()
    except _UNKNOWN_TO_THIS:
        return defined_json(header if fields is None else fields.put_into(header))


def defined_json(header: Header) -> bytes:
    """What `header_json` is to write, but for the form of numbers: the definition."""
    return _HEADER.dump_json(_HEADER.validate_python(header))


def _written(header: Header, of: Header | PublisherFields) -> str:
    """Raises one of _UNKNOWN_TO_THIS for what the definition has to judge."""
    if of.mosaic is not None or len(header.sources) > _MOST_SOURCES:
        raise ValueError("not written here")
    whole = header.seq, header.timestamp_ns, header.timestamp_wall_ns, header.epoch, header.settings_rev
    _check_whole(*whole, of.published_wall_ns)
    return (
        f'{{"seq":{header.seq},"timestamp_ns":{header.timestamp_ns},"clock":{_text(header.clock)},'
        f'"timestamp_wall_ns":{header.timestamp_wall_ns},"timestamp_wall_from":{_ORIGINS[header.timestamp_wall_from]},'
        f'"frame_id":{_text(header.frame_id)},"sources":[{",".join(map(_source, header.sources))}],'
        f'"ev_gap":{"null" if header.ev_gap is None else _number(header.ev_gap)},"verdict":"{header.verdict.value}",'
        f'"epoch":{header.epoch},"latency_ms":{_numbers(header.latency_ms)},'
        f'"model_sha256":{_text(header.model_sha256)},"device":{_text(header.device)},'
        f'"fusion":{_settings(*header.fusion, *header.fusion.values())},"settings_rev":{header.settings_rev},'
        f'"motion":{"null" if header.motion is None else _motion(header.motion)},"profile":{_text(header.profile)},'
        f'"correction":{_texts(header.correction)},"pipeline":{_pipeline(header.pipeline)},'
        f'"version":{_version(of.version)},"stream":{_text(of.stream)},"published_wall_ns":{of.published_wall_ns},'
        f"{_shape(of.width, of.height, of.encoding, of.step, of.codec)}}}"
    )


_ORIGINS = {"sensor": '"sensor"', "arrival": '"arrival"'}


def _check_whole(*numbers: int) -> None:
    if {*map(type, numbers)} != {int} or min(numbers) < 0 or max(numbers) >= _INTEGERS:
        raise ValueError("not whole numbers below 2^63")


def _number(number: float) -> str:
    if type(number) is not float or not isfinite(number):
        raise ValueError("no finite number")
    return repr(number)


def _numbers(by_name: Mapping[str, float]) -> str:
    return "{" + ",".join([f"{_text(name)}:{_number(number)}" for name, number in by_name.items()]) + "}"


@lru_cache(maxsize=256)
def _text(text: str) -> str:
    if type(text) is not str or len(text) > _LONGEST_TEXT:
        raise ValueError("no text, or too long")
    return json.dumps(text, ensure_ascii=False)


@lru_cache(maxsize=8)
def _texts(texts: tuple[str, ...]) -> str:
    if type(texts) is not tuple or len(texts) > _MOST_CORRECTIONS:
        raise ValueError("no texts, or too many")
    return "[" + ",".join(map(_text, texts)) + "]"


def _source(source: Source) -> str:
    _check_whole(source.seq, source.timestamp_ns)
    return (
        f'{{"seq":{source.seq},"timestamp_ns":{source.timestamp_ns},"clock":{_text(source.clock)},'
        f'"requested":{_exposure(source.requested)},"measured":{_exposure(source.measured)},'
        f'"label_source":"{source.label_source.value}"}}'
    )


@lru_cache(maxsize=64)
def _exposure(exposure: SourceExposure | None) -> str:
    return "null" if exposure is None else _EXPOSURE.dump_json(_EXPOSURE.validate_python(exposure)).decode()


@lru_cache(maxsize=8, typed=True)
def _settings(*names_and_values: Any) -> str:
    names, values = names_and_values[: len(names_and_values) // 2], names_and_values[len(names_and_values) // 2 :]
    checked = _SETTINGS.validate_python(dict(zip(names, values, strict=True)), strict=True)
    return json.dumps(checked, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _motion(motion: Motion) -> str:
    right, down = motion.shift_px
    _check_whole(motion.reference)
    if not 0 <= motion.share <= 1:
        raise ValueError("no share")
    shift = f"[{_number(right)},{_number(down)}]"
    return f'{{"reference":{motion.reference},"share":{_number(motion.share)},"shift_px":{shift}}}'


def _pipeline(counts: Pipeline) -> str:
    captured, labelled, transitional = counts.captured, counts.labelled, counts.transitional
    dropped, fused, published = counts.dropped, counts.fused, counts.published
    _check_whole(captured, labelled, transitional, dropped, fused, published)
    return (
        f'{{"captured":{captured},"labelled":{labelled},"transitional":{transitional},'
        f'"dropped":{dropped},"fused":{fused},"published":{published}}}'
    )


def _version(version: int) -> str:
    if version != VERSION or type(version) is not int:
        raise ValueError("another version")
    return str(VERSION)


@lru_cache(maxsize=64, typed=True)
def _shape(width: int, height: int, encoding: str, step: int, codec: str) -> str:
    _check_whole(width, height, step)
    sides = 1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE and 1 <= step <= 16 * LONGEST_SIDE
    if not sides or encoding not in _CODES or codec not in _CODECS:
        raise ValueError("no shape of a picture")
    return f'"width":{width},"height":{height},"encoding":"{encoding}","step":{step},"codec":"{codec}","mosaic":null'
