"""What a person or a program asks of an open session, as a line that was typed or scanned, or as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from livemef.tools.exits import UserError

KEYS = ":c id by the code in the picture, :t target, :r retake, :n TEXT note, :q close"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TakeRequest(_Request):
    """Take an object. id: None = the object that was taken last. part: the next part of it. retake: again what is there
    already. note: goes into its record. code: its id is in a code in the picture.
    """

    do: Literal["take"] = "take"
    id: Annotated[str, Field(max_length=400)] | None = None
    part: bool = False
    retake: bool = False
    note: Annotated[str, Field(max_length=4000)] = ""
    code: bool = False


class TargetRequest(_Request):
    """A target lies in the object's place: take it."""

    do: Literal["target"] = "target"


class NoteRequest(_Request):
    """A note for the next object."""

    do: Literal["note"] = "note"
    text: Annotated[str, Field(max_length=4000)]


class RetakeRequest(_Request):
    """The next take is a retake."""

    do: Literal["retake"] = "retake"


class StatusRequest(_Request):
    """How the session does."""

    do: Literal["status"] = "status"


class ThumbRequest(_Request):
    """A small picture of one of the last objects. name: its folder's."""

    do: Literal["thumb"] = "thumb"
    name: Annotated[str, Field(max_length=200)]


class ClippingRequest(_Request):
    """Where the darkest exposure clips."""

    do: Literal["clipping"] = "clipping"


class CloseRequest(_Request):
    """End the session."""

    do: Literal["close"] = "close"


Request = (
    TakeRequest
    | TargetRequest
    | NoteRequest
    | RetakeRequest
    | StatusRequest
    | ThumbRequest
    | ClippingRequest
    | CloseRequest
)
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="do")])


def typed_request(line: str) -> Request:
    """What a line of the standard input asks for. Raises UserError for a command that is none.

    A line that is not a command is an object's id: so a barcode scanner that types needs no setting up.
    """
    text = line.strip()
    if not text:
        return TakeRequest(part=True)
    if not text.startswith(":"):
        return TakeRequest(id=text)
    command, _, rest = text.partition(" ")
    simple: dict[str, Request] = {
        ":c": TakeRequest(code=True),
        ":t": TargetRequest(),
        ":r": RetakeRequest(),
        ":q": CloseRequest(),
    }
    if command in simple and not rest:
        return simple[command]
    if command == ":n" and rest.strip():
        return NoteRequest(text=rest.strip()[:4000])
    raise UserError(f"{text}: not known; use {KEYS}")


def json_request(text: str | bytes) -> Request:
    """What a program asks for. Raises UserError that names what is wrong."""
    try:
        return _REQUEST.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"request: {place + ': ' if place else ''}{first['msg']}") from None


def as_json(request: Request) -> dict[str, Any]:
    """The request as plain data."""
    return request.model_dump()
