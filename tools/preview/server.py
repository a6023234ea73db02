"""The preview: a page with the fused picture live beside the exposures, health check, metrics and snapshots."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web
from aiohttp.http import HttpProcessingError

from livemef.capture.child import Lifeline
from livemef.fusion.stream.endpoint import Endpoint
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.local_runs import SOCKET
from livemef.fusion.stream.wire import FUSED, WireError
from livemef.tools.preview import page_files
from livemef.tools.preview.access import check_listen, tls_context
from livemef.tools.preview.api import Api
from livemef.tools.preview.connections import listening
from livemef.tools.preview.crops import crop_box
from livemef.tools.preview.feed import STALE_S, Feed
from livemef.tools.preview.field_api import FIELD_ROUTES
from livemef.tools.preview.gate_link import GateLink
from livemef.tools.preview.guard import Guard
from livemef.tools.preview.http_api import PREFIX as API_PREFIX
from livemef.tools.preview.http_api import HttpApi
from livemef.tools.preview.lines import Lines
from livemef.tools.preview.metrics import metrics_text
from livemef.tools.preview.mjpeg import MjpegStreams
from livemef.tools.preview.page_job import PageJob
from livemef.tools.preview.router_door import RouterDoor, control_endpoint
from livemef.tools.preview.snapshots import Snapshot, SnapshotMaker
from livemef.tools.preview.views import ViewMaker
from livemef.tools.run.outcome import Outcome, problem

SNAPSHOT_WAIT_S = 2.0
MOST_SOCKETS = 64
SHUTDOWN_S = 0.5
NICENESS = 5
"""Looking must not slow down what is looked at."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": page_files.CONTENT_SECURITY_POLICY,
}


class Preview:
    """The page's server. `await start()`, then `url`; `await close()`.

    lifeline: to the supervisor of the pipeline that the page belongs to; None = it only shows. Raises FusionError for a
    wrong endpoint, an open door or an occupied port.
    """

    def __init__(self, job: PageJob, lifeline: Lifeline | None = None) -> None:
        check_listen(job.host, job.view_token)
        self._job = job
        self._link = GateLink(lifeline)
        self._tls = tls_context(job.certificate, job.key)
        encrypted = self._tls is not None
        self._guard = Guard(
            job.host, job.view_token, job.control_token, encrypted=encrypted, plain_control=job.insecure
        )
        self._api = Api(self._link, encrypted, folder=job.folder, more_routes=FIELD_ROUTES)
        self._http = HttpApi(self._api, self._guard)
        self._stack = AsyncExitStack()
        self._receiving: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        """Open the subscription and the port."""
        try:
            self.feed = Feed(self._job.source)
            self._stack.callback(self.feed.close)
            self._views = ViewMaker(self.feed)
            self._stack.callback(self._views.close)
            self._lines = Lines(self.feed, self._views)
            self._streams = MjpegStreams(self.feed, self._views)
            self._snapshots = SnapshotMaker()
            self._stack.callback(self._snapshots.close)
            self._http.special["/crop"] = self._crop
            self._link.start()
            self._stack.callback(self._link.stop)
            await self._listen()
            self._open_doors()
        except BaseException:
            await self._stack.aclose()
            raise
        self._receiving = asyncio.create_task(self.feed.run())

    def _open_doors(self) -> None:
        """The ZeroMQ ways to the API."""
        doors = []
        if self._job.folder is not None:
            doors.append(RouterDoor(self._api, Endpoint("pub", True, f"ipc://{self._job.folder}/{SOCKET}")))
            self._stack.push_async_callback(doors[-1].close)
        if self._job.control_endpoint:
            doors.append(RouterDoor(self._api, control_endpoint(self._job.control_endpoint), KeyFolder()))
            self._stack.push_async_callback(doors[-1].close)
        for door in doors:
            door.start()

    def routes(self) -> list[web.RouteDef]:
        """All that is served. Each but the page's own files is behind the lock."""
        return [
            web.get("/", page_files.index),
            web.get(page_files.PREFIX + "{name}", page_files.page_file),
            web.route("*", f"{API_PREFIX}/{{rest:.*}}", self._http.answer),
            web.get("/ws", self._live),
            web.get("/stream.mjpeg", self._mjpeg),
            web.get("/healthz", self._health),
            web.get("/metrics", self._metrics),
            web.get("/snapshot.jpg", self._snapshot_jpg),
            web.get("/snapshot.png", self._snapshot_png),
        ]

    async def _listen(self) -> None:
        logging.getLogger("aiohttp.server").addFilter(_is_no_malformed_request)
        host = self._job.host
        listener = listening(host, self._job.port)
        self._stack.callback(listener.close)
        app = web.Application(middlewares=[listener.watch, self._http.lock])
        app.on_response_prepare.append(_add_headers)
        app.add_routes(self.routes())
        app.on_shutdown.append(self._hang_up)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener, ssl_context=self._tls).start()
        port = runner.addresses[0][1]
        self._http.cookie = f"livemef-{port}"
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"

    def take_in(self) -> None:
        """Take in what the supervisor has sent."""
        self._link.take_in()

    async def failed(self) -> None:
        """Return only if receiving has failed, by raising what it failed with."""
        assert self._receiving is not None, "start first"
        await self._receiving

    async def close(self) -> None:
        """Hang up on everybody and free the port."""
        if self._receiving is not None:
            self._receiving.cancel()
            await asyncio.gather(self._receiving, return_exceptions=True)
        await self._stack.aclose()

    async def _hang_up(self, _: web.Application) -> None:
        self._http.ending.set()
        self._streams.hang_up()
        await self._lines.hang_up()

    async def _health(self, _: web.Request) -> web.StreamResponse:
        healthy = self.feed.frames > 0 and self.feed.silent_s <= STALE_S
        body = {"status": "ok" if healthy else "no frames", **self.feed.stats()}
        return web.json_response(body, status=200 if healthy else 503)

    async def _metrics(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=metrics_text(self.feed), content_type="text/plain", charset="utf-8")

    async def _snapshot_jpg(self, request: web.Request) -> web.StreamResponse:
        return await self._snapshot(request, "jpg")

    async def _snapshot_png(self, request: web.Request) -> web.StreamResponse:
        return await self._snapshot(request, "png")

    async def _snapshot(self, request: web.Request, suffix: str) -> web.StreamResponse:
        """A fused picture at full size: that of `stream` and `seq`, while some browser shows it; else the newest, if
        that is fresh, or the next to come.
        """
        asked = request.query.get("stream", ""), request.query.get("seq", "")
        if any(asked):
            held = self._lines.held(*asked)
            if held is None:
                return web.Response(status=410, text="no browser shows that frame any more\n")
            return await self._encoded(self._snapshots.encoded_this(held, suffix), suffix)
        with self.feed.watching():
            newest = await self.feed.fresh_fused(SNAPSHOT_WAIT_S)
        if newest is None:
            return web.Response(status=503, text=f"no frame within {SNAPSHOT_WAIT_S:g} s\n")
        return await self._encoded(self._snapshots.encoded(newest, suffix), suffix)

    async def _encoded(self, making: Awaitable[Snapshot], suffix: str) -> web.StreamResponse:
        try:
            shown, encoded = await making
        except WireError as error:
            return web.Response(status=503, text=f"{error}\n")
        name = f'inline; filename="livemef-{shown.header.seq:08d}.{suffix}"'
        content_type = "image/jpeg" if suffix == "jpg" else "image/png"
        return web.Response(body=encoded.data, content_type=content_type, headers={"Content-Disposition": name})

    async def _crop(self, request: web.Request) -> Outcome | web.StreamResponse:
        """A part of the newest picture of a topic, or of the fused one that a paused page shows; 1:1."""
        box = crop_box(request.query)
        if isinstance(box, Outcome):
            return box
        if "seq" in request.query:
            newest = self._lines.held(request.query.get("stream", ""), request.query["seq"])
            if newest is None or box.topic != FUSED:
                return problem(410, "no browser shows that picture any more")
        else:
            with self.feed.watching():
                newest = await self.feed.fresh(box.topic, SNAPSHOT_WAIT_S)
            if newest is None:
                return problem(503, f"no picture of topic {box.topic} within {SNAPSHOT_WAIT_S:g} s")
        try:
            encoded = await self._snapshots.cropped(newest, box)
        except WireError as error:
            return problem(503, str(error))
        headers = {"Livemef-Seq": str(newest.header.seq), "Livemef-Stream": newest.header.stream}
        return web.Response(body=encoded.data, content_type="image/png", headers=headers)

    async def _mjpeg(self, request: web.Request) -> web.StreamResponse:
        """The fused pictures as one endless answer."""
        if len(self._lines) + len(self._streams) >= MOST_SOCKETS:
            return web.Response(status=503, text=f"{MOST_SOCKETS} browsers are watching already\n")
        return await self._streams.serve(request)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """The page's WebSocket."""
        if len(self._lines) + len(self._streams) >= MOST_SOCKETS:
            return web.Response(status=503, text=f"{MOST_SOCKETS} browsers are watching already\n")
        return await self._lines.serve(request)


def _is_no_malformed_request(record: logging.LogRecord) -> bool:
    """Filter of aiohttp's records. It answers 400 to what is no HTTP, and would print a traceback for each as well:
    whoever reaches the port could fill the journal.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


async def serve(
    preview: Preview, stopping: Callable[[], bool], turn: Callable[[], None], ready: Callable[[str], None]
) -> None:
    """Run `preview` until `stopping()`. `ready(url)` is called once, `turn()` about every 0.1 s. Raises
    FusionError.
    """
    await preview.start()
    try:
        ready(preview.url)
        failed = asyncio.create_task(preview.failed())
        while not stopping():
            turn()
            if failed in (await asyncio.wait({failed}, timeout=0.1))[0]:
                failed.result()
    finally:
        await preview.close()


def run_preview(job: PageJob, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve the page until SIGINT or SIGTERM; needs a process of its own. `ready(url)` is called once.

    Raises FusionError.
    """
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: asked.append(number))
    os.nice(NICENESS)
    preview = Preview(job)
    asyncio.run(serve(preview, lambda: bool(asked), lambda: None, ready))
