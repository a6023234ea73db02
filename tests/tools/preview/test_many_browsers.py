"""Fifty browsers at once look at a running pipeline.

They are clients of the page's WebSocket that ask as the page does: fifty Chromiums would slow down any machine.
"""

import asyncio
import time

import aiohttp
import pytest

from tests.tools.preview.run_rig import running

BROWSERS = 50
SECONDS = 8.0
LEAST_SHARE = 0.7
"""Of the frames fused without browsers. The clients compute on the same machine, so it is not held to be 1."""


async def look(port: int, until_s: float, token: str) -> int:
    """Pictures that one browser got."""
    seen = 0
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"http://127.0.0.1:{port}/ws", max_msg_size=0) as ws,
    ):
        await ws.send_str("scopes")
        while time.monotonic() < until_s:
            await ws.send_str("next")
            message = await ws.receive(timeout=20)
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)
            seen += message.type == aiohttp.WSMsgType.BINARY
    return seen


def fused(run) -> int:
    return run.ask("GET", "/status")[1]["counters"]["fused"]


async def looks(port: int, token: str) -> list[int]:
    end_s = time.monotonic() + SECONDS
    return await asyncio.gather(*(look(port, end_s, token) for _ in range(BROWSERS)))


@pytest.mark.slow
def test_fifty_browsers_do_not_slow_the_pipeline(tmp_path):
    """In turn with and without them, three times: the machine may be busy with other things, but in both alike."""
    with running(tmp_path, "--camera", "sim://?size=320x180&fps=10", "--motion", "off") as run:
        end_s = time.monotonic() + 60
        while fused(run) < 20:
            assert time.monotonic() < end_s
            time.sleep(0.2)
        alone = watched = 0
        for _ in range(3):
            before = fused(run)
            time.sleep(SECONDS)
            alone += fused(run) - before
            before = fused(run)
            seen = asyncio.run(looks(run.page, run.token))
            watched += fused(run) - before
            assert min(seen) > 0, "each got pictures"
        print(
            f"\nfused in {3 * SECONDS:g} s: {alone} alone, {watched} with {BROWSERS} browsers, who saw {sorted(seen)}"
        )
        assert watched > LEAST_SHARE * alone
