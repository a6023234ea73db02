"""A reverse proxy that puts a preview below a path, as nginx or Caddy would."""

import asyncio
import contextlib
import threading

import aiohttp
from aiohttp import web

HOP_BY_HOP = ("host", "connection", "transfer-encoding", "content-length", "content-encoding")


@contextlib.contextmanager
def proxying(port, prefix):
    """A proxy in a thread; gives its port."""
    ready, over, found = threading.Event(), threading.Event(), []

    async def forward(request):
        target = f"http://127.0.0.1:{port}/{request.path_qs.removeprefix(prefix)}"
        kept = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        kept["X-Forwarded-Host"] = request.headers["Host"]
        async with aiohttp.ClientSession() as session:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await both_ways(
                    request, session, target, {"Origin": request.headers["Origin"], **forwarded(kept)}
                )
            async with session.request(request.method, target, headers=kept, data=await request.read()) as answer:
                headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
                response = web.StreamResponse(status=answer.status, headers=headers)
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                return response

    async def serve():
        app = web.Application()
        app.router.add_route("*", prefix + "{rest:.*}", forward)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.append(runner.addresses[0][1])
        ready.set()
        while not over.is_set():
            await asyncio.sleep(0.05)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield found[0]
    finally:
        over.set()
        thread.join(10)


def forwarded(headers):
    return {name: value for name, value in headers.items() if name.lower() in ("x-forwarded-host", "cookie")}


async def both_ways(request, session, target, headers):
    inner = web.WebSocketResponse()
    await inner.prepare(request)
    async with session.ws_connect(target, headers=headers) as outer:

        async def pump(source, sink):
            async for message in source:
                if message.type == aiohttp.WSMsgType.TEXT:
                    await sink.send_str(message.data)
                else:
                    await sink.send_bytes(message.data)
            await sink.close()

        await asyncio.gather(pump(inner, outer), pump(outer, inner), return_exceptions=True)
    return inner
