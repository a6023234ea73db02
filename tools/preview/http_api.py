"""The HTTP door of the control API, and the lock of every route of the page's server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import StreamReader, web

from livemef.tools.preview import page_files
from livemef.tools.preview.api import LONGEST_BODY, LONGEST_CLIENT, Api, Request
from livemef.tools.preview.event_log import Event
from livemef.tools.preview.guard import Guard, Refusal, Sent
from livemef.tools.run.outcome import Outcome, problem

PREFIX = "/api/v1"
MOST_LISTENERS = 64
BODY_WAIT_S = 10.0
KEEP_ALIVE_S = 10.0
ROLE: Any = web.RequestKey("livemef_role", str) if hasattr(web, "RequestKey") else "livemef_role"
"""Where the lock leaves the role; older aiohttp has no RequestKey."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpApi:
    """`lock` is the middleware of the whole server; `answer` serves all below PREFIX."""

    def __init__(self, api: Api, guard: Guard) -> None:
        self._api, self._guard = api, guard
        self._listeners = 0
        self.cookie = "livemef"
        """Name of this server's cookie: with its port, since browsers share cookies among a host's ports."""
        self.ending = asyncio.Event()
        self.special: dict[str, Callable[[web.Request], Awaitable[Outcome | web.StreamResponse]]] = {}
        """Routes of the table that only HTTP has, since they answer with a file, by path."""

    @web.middleware
    async def lock(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every route's lock but the page's own files', which hold nothing of anybody's."""
        if request.path.startswith(page_files.PREFIX):
            return await handler(request)
        sent = self._sent(request)
        role = self._guard.role(sent)
        if isinstance(role, Refusal):
            return _refused(request, role)
        if self._guard.is_foreign(sent):
            return _refused(request, Refusal(403, "sent by a foreign page"))
        if request.path == "/" and sent.query_token is not None and self._guard.is_token(sent.query_token):
            return self._with_cookie(sent.query_token)
        request[ROLE] = role
        return await handler(request)

    def _sent(self, request: web.Request) -> Sent:
        headers = {name.lower(): value for name, value in request.headers.items()}
        query_token = request.query.get("token")
        return Sent(request.method, headers, request.cookies.get(self.cookie), query_token, request.remote or "")

    def _with_cookie(self, token: str) -> web.StreamResponse:
        """The page's address without the token, which stays in no history and no link.

        The cookie's path is left to the browser: behind a proxy only that knows where the page is.
        """
        cookie = f"{self.cookie}={token}; HttpOnly; SameSite=Strict" + ("; Secure" if self._api.encrypted else "")
        if not _fits_a_cookie(token):
            return web.Response(status=400, text="this token cannot be a cookie: send Authorization: Bearer ...\n")
        return web.Response(status=303, headers={"Location": "./", "Set-Cookie": cookie})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Anything below PREFIX."""
        path, role = request.path.removeprefix(PREFIX), request[ROLE]
        method = "GET" if request.method == "HEAD" and path != "/events" else request.method  # aiohttp omits the body
        found = self._api.route(method, path)
        if isinstance(found, Outcome):
            return _response(found)
        refusal = self._guard.refusal(self._sent(request), role, found[0].role)
        if refusal is not None:
            return _refused(request, refusal)
        if path == "/events" and not request.can_read_body:
            return await self._events(request)
        if path in self.special:
            special = await self.special[path](request)
            return _response(special) if isinstance(special, Outcome) else special
        body = await _body(request)
        if isinstance(body, Outcome):
            return _response(body)
        asked = Request(method, path, body, request.headers.get("If-Match"), role, who(request), dict(request.query))
        outcome = await self._api.answer(asked)
        return _response(outcome) if outcome.file is None else web.FileResponse(outcome.file)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, until the client leaves or the server ends."""
        if self._listeners >= MOST_LISTENERS:
            return _response(problem(503, f"{MOST_LISTENERS} listen already"))
        log = self._api.link.events
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        self._listeners += 1
        try:
            await response.prepare(request)
            known = request.headers.get("Last-Event-ID", "")
            while not self.ending.is_set():
                missed = log.after(known)
                if missed is None:
                    known, hello = log.last_id, {"revision": self._api.link.settings.get("revision")}
                    await response.write(Event(known, "hello", hello).as_sse())
                    await response.write(b"".join(event.as_sse(with_id=False) for event in log.states()))
                elif missed:
                    known = missed[-1].id
                    await response.write(b"".join(event.as_sse() for event in missed))
                else:
                    await self._wait(known)
                    if log.last_id == known:
                        await response.write(b": still here\n\n")
        except ConnectionError:  # the client left
            pass
        finally:
            self._listeners -= 1
        return response

    async def _wait(self, known: str) -> None:
        """Until something happens, the server ends, or it is time for a sign of life."""
        event = asyncio.ensure_future(self._api.link.events.wait(known, KEEP_ALIVE_S))
        end = asyncio.ensure_future(self.ending.wait())
        try:
            await asyncio.wait({event, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            event.cancel()
            end.cancel()


def who(request: web.Request) -> str:
    """A client's name for others: what it calls itself, and where it is."""
    name = "".join(letter for letter in request.headers.get("Livemef-Client", "") if letter.isprintable())
    return f"{name[:LONGEST_CLIENT] or 'somebody'} at {request.remote or 'an unknown place'}"


async def _body(request: web.Request) -> bytes | Outcome:
    try:
        body = await asyncio.wait_for(_read(request.content), BODY_WAIT_S)
    except asyncio.TimeoutError:
        return problem(408, "the body did not come")
    return problem(413, f"the body is larger than {LONGEST_BODY >> 10} KiB") if len(body) > LONGEST_BODY else body


async def _read(content: StreamReader) -> bytes:
    body = b""
    while len(body) <= LONGEST_BODY and (more := await content.read(LONGEST_BODY + 1)):
        body += more
    return body


def _refused(request: web.Request, refusal: Refusal) -> web.StreamResponse:
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    if request.path.startswith(PREFIX):
        return _response(problem(refusal.status, refusal.detail), headers)
    return web.Response(status=refusal.status, text=f"{refusal.detail}\n", headers=headers)


def _response(outcome: Outcome, headers: dict[str, str] | None = None) -> web.Response:
    more: dict[str, Any] = dict(headers or {})
    if "revision" in outcome.body and not outcome.refused:
        more["ETag"] = f'"{outcome.body["revision"]}"'
    media_type = "application/problem+json" if outcome.refused else "application/json"
    return web.Response(
        status=outcome.status, text=json.dumps(outcome.body), content_type=media_type, charset="utf-8", headers=more
    )


def _fits_a_cookie(token: str) -> bool:
    return bool(token) and all(33 <= ord(letter) <= 126 and letter not in '",;\\' for letter in token)
