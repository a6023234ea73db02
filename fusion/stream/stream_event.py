"""Events of a pipeline as messages of topic `event`: changes, restarts, stills, recordings (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from livemef.fusion.stream.header import VERSION, Text, Whole
from livemef.fusion.stream.wire import EVENT, LONGEST_HEADER, WireError

Word = Annotated[str, Field(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """Something that has happened to the pipeline that publishes a stream.

    event: its name, data: what belongs to it, both as docs/control.md says. seq: its number in `stream`, from 0.
    published_wall_ns: Unix time (ns).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, revalidate_instances="always")

    event: Word
    data: dict[str, Any]
    seq: Whole
    stream: Text = ""
    frame_id: Text = "camera"
    published_wall_ns: Whole = 0
    version: Annotated[int, Field(ge=1)] = VERSION


_EVENT: TypeAdapter[StreamEvent] = TypeAdapter(StreamEvent)


def is_event(topic: bytes) -> bool:
    """Whether a message of this topic is an event."""
    return topic == EVENT.encode()


def encode_event(event: StreamEvent) -> list[bytes]:
    """The three parts of its message. Raises ValueError (pydantic's) for what is outside its limits, or no JSON."""
    return [EVENT.encode(), _EVENT.dump_json(_EVENT.validate_python(event)), b""]


def decode_event(parts: Sequence[Any]) -> StreamEvent:
    """The event of a message of topic `event`. Raises WireError, and nothing else."""
    if len(parts) != 3:
        raise WireError(f"message event has {len(parts)} parts, it must have 3")
    text = memoryview(parts[1]).cast("B")
    if text.nbytes > LONGEST_HEADER:
        raise WireError(f"message event: of {text.nbytes} bytes, over {LONGEST_HEADER}")
    try:
        event = _EVENT.validate_json(bytes(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "JSON"
        raise WireError(f"message event: {where[:80]!r}: {first['msg'][:200]}") from None
    if event.version > VERSION:
        raise WireError(
            f"message event: wire version {event.version}, this reader knows {VERSION}: update livemef here"
        )
    return event
