"""The fused pictures as one endless answer of JPEG files, which many programs take for a camera."""

from __future__ import annotations

import asyncio

from aiohttp import web

from livemef.fusion.stream.wire import WireError
from livemef.tools.preview.feed import Feed
from livemef.tools.preview.view_message import View
from livemef.tools.preview.views import ViewMaker, Wishes

WAIT_S = 0.5
BOUNDARY = "livemef-frame"


class MjpegStreams:
    """Those who take it. They share the JPEG files of the page's browsers."""

    def __init__(self, feed: Feed, views: ViewMaker) -> None:
        self._feed, self._views = feed, views
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def hang_up(self) -> None:
        """End all of them."""
        for task in self._tasks:
            task.cancel()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send pictures until the client leaves."""
        response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"})
        await response.prepare(request)
        task = asyncio.ensure_future(self._send_all(response))
        self._tasks.add(task)
        self._views.wish(self, Wishes(fused_jpeg=True))
        try:
            await task
        except (ConnectionError, asyncio.CancelledError):  # the client left, or the server ends
            task.cancel()
        finally:
            self._tasks.discard(task)
            if not self._tasks:
                self._views.wish(self, None)
        return response

    async def _send_all(self, response: web.StreamResponse) -> None:
        key: tuple[str, int] | None = None
        lacking: View | None = None
        with self._feed.watching():
            while True:
                try:
                    view = await (
                        self._views.after(key, WAIT_S) if lacking is None else self._views.again(lacking, WAIT_S)
                    )
                except WireError:
                    self._feed.malformed += 1
                    continue
                if view is None:
                    continue
                key, jpeg = view.received.key, view.fused_jpeg
                lacking = view if jpeg is None else None  # it was made before this client came
                if jpeg is not None:
                    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {jpeg.nbytes}\r\n\r\n"
                    await response.write(b"".join([head.encode(), jpeg.data, b"\r\n"]))
