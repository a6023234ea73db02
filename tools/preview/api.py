"""The control API behind both doors: a table of routes, and what each does (docs/control.md)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from livemef.tools.config.live_keys import TABLES, ChangeRefused, Wrong, check_change
from livemef.tools.preview import crops
from livemef.tools.preview.gate_link import GateLink
from livemef.tools.preview.guard import Role
from livemef.tools.run.outcome import Outcome, problem

LONGEST_BODY = 64 << 10
LONGEST_CLIENT = 64


@dataclass(frozen=True)
class Request:
    """A request, whichever door it came through. body: as sent, b"" = none. who: for the log and the others' events.

    encrypted: whether it cannot be read on its way; None = as the page.
    """

    method: str
    path: str
    body: bytes = b""
    if_match: str | None = None
    role: Role = "view"
    who: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    encrypted: bool | None = None


class Body(BaseModel):
    """Body of a request: no other fields, no other types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NoBody(Body):
    """Nothing, or an empty object."""


class RestartBody(Body):
    """The process to start again; `gate` is the server of the page."""

    process: Literal["capture", "fusion", "gate"]


class EventsBody(Body):
    """Events after the one with that id, as soon as there are any, at the latest after `wait_s`."""

    after: str = Field("", max_length=40)
    wait_s: float = Field(10.0, ge=0, le=60)


class StillsBody(Body):
    """`count` brackets, fused at full resolution: 16-bit or 8-bit PNG; or stored as they are."""

    count: int = Field(1, ge=1, le=16)
    format: Literal["png16", "png8", "brackets"] = "png16"


class RecordingBody(Body):
    """`name` of a new folder; ends by itself after `seconds` or `brackets`, where given."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    seconds: float | None = Field(None, gt=0, le=7 * 86400)
    brackets: int | None = Field(None, ge=1, le=10**9)


Handler = Callable[["Api", Request, Any, Mapping[str, str]], Awaitable[Outcome]]


@dataclass(frozen=True)
class Route:
    """path: with names in braces. body: model of the body; None = any object. answers: media types of its
    answers over HTTP. query: JSON schemas of the query's values, which may all be left out.
    """

    method: str
    path: str
    role: Role
    summary: str
    handler: Handler
    body: type[Body] | None = NoBody
    answers: tuple[str, ...] = ("application/json",)
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def match(self, path: str) -> dict[str, str] | None:
        """The names' values if the path is this one."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9_.-]{1,100})", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()


class Api:
    """Answers requests. encrypted: whether what is sent cannot be read on its way. folder: of the run, None = no run.

    more_routes: of other parts, beside ROUTES.
    """

    def __init__(
        self,
        link: GateLink,
        encrypted: bool = False,
        folder: str | None = None,
        more_routes: Sequence[Route] = (),
    ) -> None:
        self.link, self.encrypted, self.folder = link, encrypted, folder
        self._routes = (*ROUTES, *more_routes)
        self._kept: set[asyncio.Future[Any]] = set()

    def keep(self, work: asyncio.Future[Any]) -> None:
        """Hold on to work that goes on after its request was answered; its failure is not of interest."""
        self._kept.add(work)
        work.add_done_callback(self._let_go)

    def _let_go(self, work: asyncio.Future[Any]) -> None:
        self._kept.discard(work)
        if not work.cancelled():
            work.exception()

    def route(self, method: str, path: str) -> tuple[Route, dict[str, str]] | Outcome:
        """The route of a request and the values in its path, or why there is none."""
        found = [(route, names) for route in self._routes if (names := route.match(path)) is not None]
        for route, names in found:
            if route.method == method:
                return route, names
        if found:
            allowed = ", ".join(sorted({route.method for route, _ in found}))
            return problem(405, f"{method} is not done here: {allowed}")
        return problem(404, "there is no such route; GET /api/v1/openapi.json lists them")

    async def answer(self, request: Request) -> Outcome:
        """What comes of a request. The role must have been given by who checked the sender."""
        found = self.route(request.method, request.path)
        if isinstance(found, Outcome):
            return found
        route, names = found
        if route.role == "control" and request.role != "control":
            return problem(403, "this role may only look")
        body = _parsed(request.body, route.body)
        return body if isinstance(body, Outcome) else await route.handler(self, request, body, names)

    async def _ask(self, do: str, request: Request, values: Mapping[str, Any]) -> Outcome:
        return await self.link.ask(do, request.who, values)

    async def status(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """GET /status."""
        about = {
            "version": _version(),
            "role": request.role,
            "control": self.link.controls,
            "encrypted": self.encrypted if request.encrypted is None else request.encrypted,
        }
        known = dict(self.link.status)
        if known:
            known["stills"] = [_for_role(still, request.role) for still in known["stills"]]
            known["recording"] = known["recording"] and _for_role(known["recording"], request.role)
        return Outcome(200, about | known)

    async def settings(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """GET /settings."""
        if not self.link.controls:
            return problem(409, "this page belongs to no pipeline: it has no settings")
        if not self.link.settings:
            return problem(503, "the settings are not known yet; try again")
        return Outcome(200, self.link.settings)

    async def change(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """PATCH /settings/TABLE: checked here first, so that nothing unchecked goes any further."""
        table = names["table"]
        if table not in TABLES:
            return problem(404, f"no table {table!r} can be changed: {', '.join(TABLES)}")
        try:
            check_change(table, body)
        except ChangeRefused as error:
            return problem(422, str(error), error.errors)
        outcome = await self._ask("change", request, {"table": table, "change": body, **_if_match(request)})
        if not outcome.refused:
            values = outcome.body["values"][table]
            return Outcome(outcome.status, outcome.body | {"values": values})
        return outcome

    async def act(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """POST without a body: the last word of the path says what."""
        return await self._ask(request.path.rpartition("/")[2], request, _if_match(request))

    async def restart(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """POST /restart."""
        return await self._ask("restart", request, {"process": body.process})

    async def events(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """GET /events with a body: those after one that is known. HTTP without one has server-sent events."""
        log = self.link.events
        found = log.after(body.after)
        if found is None:
            return Outcome(200, {"events": [], "last": log.last_id, "missed": bool(body.after)})
        if not found:
            await log.wait(body.after, body.wait_s)
            found = log.after(body.after) or []
        events = [{"id": event.id, "event": event.event, "data": event.data} for event in found]
        return Outcome(200, {"events": events, "last": log.last_id, "missed": False})

    async def take_stills(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """POST /stills."""
        outcome = await self._ask("still", request, {"count": body.count, "format": body.format})
        return _shown(outcome, request)

    async def stills(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """GET /stills, GET /stills/ID."""
        known = [_for_role(still, request.role) for still in self.link.status.get("stills", [])]
        if "id" not in names:
            return Outcome(200, {"stills": known})
        found = next((still for still in known if still["id"] == names["id"]), None)
        return problem(404, "there is no such still") if found is None else Outcome(200, found)

    async def still_file(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """GET /stills/ID/FILE: a file that the list of stills names; no other."""
        for still in self.link.status.get("stills", []):
            if still["id"] == names["id"] and names["file"] in still["files"]:
                return Outcome(200, {}, Path(still["folder"]) / names["file"])
        return problem(404, "there is no such file")

    async def record(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """PUT /recording."""
        values = {"name": body.name, "seconds": body.seconds, "brackets": body.brackets}
        return _shown(await self._ask("record", request, values), request)

    async def recording(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """GET /recording."""
        found = self.link.status.get("recording")
        if found is None:
            return problem(404, "nothing has been recorded")
        return Outcome(200, _for_role(found, request.role))

    async def stop_recording(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """DELETE /recording."""
        return _shown(await self._ask("stop_recording", request, {}), request)

    async def http_only(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """What answers with a file."""
        return problem(406, "this answers with a file: ask over HTTP")

    async def openapi(self, request: Request, body: Any, names: Mapping[str, str]) -> Outcome:
        """GET /openapi.json."""
        from livemef.tools.preview.openapi import document

        return Outcome(200, document())


ROUTES: tuple[Route, ...] = (
    Route("GET", "/status", "view", "How the pipeline does", Api.status),
    Route("GET", "/settings", "view", "Values, revision, and what each key allows", Api.settings),
    Route("PATCH", "/settings/{table}", "control", "Change keys of one table, all or nothing", Api.change, None),
    Route("POST", "/settings/save", "control", "Write the changed keys to the configuration file", Api.act),
    Route("POST", "/settings/revert", "control", "Back to what file, variables and flags say", Api.act),
    Route("POST", "/exposures/hold", "control", "Keep the exposures that auto has found", Api.act),
    Route("POST", "/exposures/auto", "control", "Let the exposures follow the scene", Api.act),
    Route("POST", "/restart", "control", "Start a process again", Api.restart, RestartBody),
    Route(
        "GET",
        "/events",
        "view",
        "What happens, as it happens",
        Api.events,
        EventsBody,
        ("text/event-stream", "application/json"),
    ),
    Route("POST", "/stills", "control", "Take stills at full resolution", Api.take_stills, StillsBody),
    Route("GET", "/stills", "view", "The last stills", Api.stills),
    Route("GET", "/stills/{id}", "view", "One still", Api.stills),
    Route("GET", "/stills/{id}/{file}", "view", "A file of a still", Api.still_file, answers=("*/*",)),
    Route("PUT", "/recording", "control", "Record brackets as they come", Api.record, RecordingBody),
    Route("GET", "/recording", "view", "How the recording goes", Api.recording),
    Route("DELETE", "/recording", "control", "End the recording", Api.stop_recording),
    Route(
        "GET",
        "/crop",
        "view",
        "A part of the newest picture of a topic, PNG, 1:1",
        Api.http_only,
        answers=("image/png",),
        query=crops.QUERY,
    ),
    Route("GET", "/openapi.json", "view", "This document", Api.openapi),
)


def _shown(outcome: Outcome, request: Request) -> Outcome:
    return outcome if outcome.refused else Outcome(outcome.status, _for_role(outcome.body, request.role))


def _for_role(taken: Mapping[str, Any], role: Role) -> dict[str, Any]:
    """A still or recording; where it lies on the machine is nothing for those who only look."""
    return {key: value for key, value in taken.items() if key != "folder" or role == "control"}


def _if_match(request: Request) -> dict[str, int]:
    """The revision that a change is meant for: `"12"` or `12`. What is no number matches none."""
    text = request.if_match
    if text is None or text.strip() == "*":
        return {}
    digits = text.strip().removeprefix("W/").strip('"')
    return {"if_match": int(digits) if digits.isdecimal() and len(digits) < 16 else -1}


def _parsed(body: bytes, model: type[Body] | None) -> Any:
    """The body as its model, or as a dict; an Outcome if it is wrong."""
    if len(body) > LONGEST_BODY:
        return problem(413, f"the body is larger than {LONGEST_BODY >> 10} KiB")
    try:
        values = json.loads(body.decode("utf-8")) if body.strip() else {}
    except (ValueError, RecursionError):
        return problem(422, "the body is no JSON")
    if not isinstance(values, dict):
        return problem(422, "the body must be a JSON object")
    if model is None:
        return values
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = [Wrong(".".join(map(str, one["loc"]))[:100], _uncapitalized(one["msg"])) for one in error.errors()[:20]]
        return problem(422, "; ".join(f"{one.key}: {one.message}" for one in wrong), wrong)


def _uncapitalized(text: str) -> str:
    return text[:1].lower() + text[1:]


def _version() -> str:
    try:
        return version("livemef")
    except PackageNotFoundError:
        return "unknown"
