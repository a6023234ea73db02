"""The routes of an open session of field capture (`livemef shoot open`): its state, Take, target, note."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from livemef.tools.exits import UserError
from livemef.tools.field.link import NAME, ask
from livemef.tools.field.news import for_everybody
from livemef.tools.preview.api import Api, Body, Request, Route
from livemef.tools.run.outcome import Outcome, problem

ANSWER_LIMIT_S = 10.0
AT_ONCE_S = 0.4
"""A request that is not answered so soon is under way: what comes of it shows in the session's state."""


class TakeBody(Body):
    """id: as scanned or typed, null = the object that was taken last. part: its next part. retake: once more.

    code: the id is in a code in the picture.
    """

    id: Annotated[str, Field(max_length=400)] | None = None
    part: bool = False
    retake: bool = False
    note: Annotated[str, Field(max_length=4000)] = ""
    code: bool = False


class NoteBody(Body):
    """A note for the next object."""

    text: Annotated[str, Field(max_length=4000)]


async def session(api: Api, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
    """GET /session."""
    outcome = await _asked(api, {"do": "status"})
    if outcome.refused or request.role == "control":
        return outcome
    return Outcome(outcome.status, for_everybody(outcome.body))


async def objects(api: Api, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
    """GET /session/objects."""
    outcome = await _asked(api, {"do": "status"})
    return outcome if outcome.refused else Outcome(200, {"objects": outcome.body["last"]})


async def thumb(api: Api, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
    """GET /session/objects/NAME/thumb."""
    return await _asked(api, {"do": "thumb", "name": names["name"]})


async def clipping(api: Api, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
    """GET /session/clipping."""
    return await _asked(api, {"do": "clipping"})


async def take(api: Api, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
    """POST /session/take."""
    return await _begun(api, {"do": "take", **body.model_dump()})


async def target(api: Api, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
    """POST /session/target."""
    return await _begun(api, {"do": "target"})


async def note(api: Api, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
    """POST /session/note."""
    return await _begun(api, {"do": "note", "text": body.text})


FIELD_ROUTES: tuple[Route, ...] = (
    Route("GET", "/session", "view", "State of the open session of field capture", session),
    Route("GET", "/session/objects", "view", "The last objects", objects),
    Route("GET", "/session/objects/{name}/thumb", "view", "A small JPEG of one, base64", thumb),
    Route("GET", "/session/clipping", "view", "A small PNG, base64: what clips in the darkest exposure", clipping),
    Route("POST", "/session/take", "control", "Take an object", take, TakeBody),
    Route("POST", "/session/target", "control", "Take the target", target),
    Route("POST", "/session/note", "control", "A note for the next object", note, NoteBody),
)


async def _asked(api: Api, request: Mapping[str, Any]) -> Outcome:
    folder = _folder(api)
    if folder is None:
        return problem(404, "no session of field capture is open here: livemef shoot open PROJECT opens one")
    try:
        return Outcome(200, await asyncio.to_thread(ask, folder, request, ANSWER_LIMIT_S))
    except UserError as error:
        return problem(409, str(error))


async def _begun(api: Api, request: Mapping[str, Any]) -> Outcome:
    """What came of it if that is known at once, as a refusal is; else 202."""
    folder = _folder(api)
    if folder is None:
        return problem(404, "no session of field capture is open here: livemef shoot open PROJECT opens one")
    asking = asyncio.ensure_future(asyncio.to_thread(ask, folder, request))
    api.keep(asking)
    try:
        return Outcome(200, await asyncio.wait_for(asyncio.shield(asking), AT_ONCE_S))
    except asyncio.TimeoutError:
        return Outcome(202, {"doing": request["do"]})
    except UserError as error:
        return problem(409, str(error))


def _folder(api: Api) -> Path | None:
    folder = None if api.folder is None else Path(api.folder)
    return folder if folder is not None and (folder / NAME).exists() else None
