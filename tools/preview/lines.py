"""The page's WebSockets: each asks for the next picture when it has drawn the last, and says what else it wants."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from livemef.fusion.stream.wire import FUSED, WireError
from livemef.tools.preview.feed import Feed, Received
from livemef.tools.preview.view_message import Positions, View, described_header
from livemef.tools.preview.views import ViewMaker, Wishes

IDLE_PERIOD_S = 0.5
"""After so long a browser that asked for the next picture is answered that there is none yet."""
MOST_REQUESTS = 16
"""Requests of one WebSocket that may wait for their answers. The page has one; who floods is disconnected."""
_REQUEST = re.compile(r"next|pause|scopes|no scopes|jpeg|h264|large(?: (?:fused|motion|exposure/\d{1,2})){1,3}")


@dataclass
class _Line:
    """A browser. sent: the fused picture it was sent last; a paused page saves the frame that is seen. h264: whether it
    takes that; have: what it has of it.
    """

    sent: Received | None = None
    looks: bool = False
    scopes: bool = False
    h264: bool = False
    have: Positions = field(default_factory=dict)
    large: frozenset[str] = frozenset({FUSED})


class Lines:
    """All WebSockets. `await serve(request)` for each; `len()` of them are open."""

    def __init__(self, feed: Feed, views: ViewMaker) -> None:
        self._feed, self._views = feed, views
        self._open: dict[web.WebSocketResponse, _Line] = {}

    def __len__(self) -> int:
        return len(self._open)

    def held(self, stream: str, seq: str) -> Received | None:
        """What some browser was sent last, if it is that picture."""
        sent = (one.sent for one in self._open.values() if one.sent is not None)
        return next((one for one in sent if one.header.stream == stream and str(one.header.seq) == seq), None)

    async def hang_up(self) -> None:
        """Close all, for good."""
        for socket in list(self._open):
            await socket.close(code=1001, message=b"the preview ends")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One browser, until it leaves or sends what no page sends."""
        socket = web.WebSocketResponse(heartbeat=10, compress=False, max_msg_size=256)
        await socket.prepare(request)
        self._open[socket] = line = _Line()
        requests: asyncio.Queue[str] = asyncio.Queue(MOST_REQUESTS)
        answering = asyncio.create_task(self._answer_all(socket, line, requests))
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT or not _REQUEST.fullmatch(message.data):
                    break
                if requests.full():
                    if request.transport is not None:
                        request.transport.abort()  # an orderly end would first read all the rest
                    break
                requests.put_nowait(message.data)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            del self._open[socket]
            self._sum_up()
        return socket

    async def _answer_all(self, socket: web.WebSocketResponse, line: _Line, requests: asyncio.Queue[str]) -> None:
        key: tuple[str, int] | None = None
        with ExitStack() as watching:
            while True:
                request = await requests.get()
                if request == "pause":
                    watching.close()
                elif request == "next" and not line.looks:
                    watching.enter_context(self._feed.watching())
                _note(line, request)
                self._sum_up()
                if request == "next":
                    key = await self._answer(socket, line, key)

    def _sum_up(self) -> None:
        looking = [one for one in self._open.values() if one.looks]
        wishes = Wishes(
            jpeg=any(not one.h264 for one in looking),
            h264=any(one.h264 for one in looking),
            scopes=any(one.scopes for one in looking),
            large=frozenset[str]().union(*(one.large for one in looking)),
        )
        self._views.wish(self, wishes if looking else None)

    async def _answer(
        self, socket: web.WebSocketResponse, line: _Line, key: tuple[str, int] | None
    ) -> tuple[str, int] | None:
        """Send the newest view if it is another than `key`, else how things stand; the key of what was sent last."""
        found = await self._view_for(line, key)
        if socket.closed:
            return key
        try:
            if found is not None:
                view, message = found
                line.sent = view.received
                await socket.send_bytes(message)
                return view.received.key
            header = self._feed.header
            described = None if header is None else described_header(header)
            await socket.send_json({"kind": "idle", "stats": self._feed.stats(), "header": described})
        except ConnectionError:  # the browser left meanwhile
            pass
        return key

    async def _view_for(self, line: _Line, key: tuple[str, int] | None) -> tuple[View, bytes] | None:
        """The newest view, if it is another than `key`, and its message for this browser; None if none came in time."""
        end_s = time.monotonic() + IDLE_PERIOD_S
        lacking: View | None = None
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                view = await (self._views.after(key, left_s) if lacking is None else self._views.again(lacking, left_s))
            except WireError:
                self._feed.malformed += 1
                return None
            if view is None:
                return None
            message = _message(view, line)
            if message is not None:
                return view, message
            if line.h264:
                self._views.want_key_frame()
            lacking = view
        return None


def _message(view: View, line: _Line) -> bytes | None:
    """What is sent of a view; None if it was made without what this browser takes."""
    if not line.h264:
        return view.jpeg_message()
    found = view.h264_message(line.have)
    if found is None:
        return None
    message, line.have = found
    return message


def _note(line: _Line, request: str) -> None:
    """Keep what a request says of the browser."""
    if request in ("next", "pause"):
        line.looks = request == "next"
    elif request.endswith("scopes"):
        line.scopes = request == "scopes"
    elif request in ("jpeg", "h264"):
        line.h264, line.have = request == "h264", {}
    else:
        line.large = frozenset(request.split()[1:])
