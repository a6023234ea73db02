"""The ZeroMQ door of the control API: a ROUTER socket in the run's folder, which only this user may enter."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import zmq
import zmq.asyncio

from livemef.fusion.stream.control import MESSAGE
from livemef.fusion.stream.endpoint import Attachment, Endpoint
from livemef.tools.preview.api import LONGEST_BODY, LONGEST_CLIENT, Api, Request
from livemef.tools.preview.guard import Role
from livemef.tools.run.outcome import Outcome, problem

MOST_AT_ONCE = 64
LONGEST_ID = 64


class RouterDoor:
    """address: `ipc://PATH`. role: of everybody who can reach it."""

    def __init__(self, api: Api, address: str, role: Role = "control") -> None:
        self._api, self._role = api, role
        self._context: zmq.asyncio.Context = zmq.asyncio.Context()
        self._socket: Any = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_BODY + 4096)
        self._socket.setsockopt(zmq.RCVHWM, MOST_AT_ONCE)
        self._socket.setsockopt(zmq.SNDHWM, MOST_AT_ONCE)
        self._attachment = Attachment(cast(Any, self._socket), Endpoint("pub", True, address))
        self._tasks: set[asyncio.Task[None]] = set()
        self._receiving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to receive."""
        self._receiving = asyncio.create_task(self._receive())

    async def close(self) -> None:
        """End, without the answers that are still awaited."""
        tasks = [*self._tasks, *([self._receiving] if self._receiving else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._context.destroy(linger=0)
        self._attachment.close()

    async def _receive(self) -> None:
        while True:
            parts = await self._socket.recv_multipart()
            if len(parts) != 4 or parts[1] != MESSAGE or len(parts[2]) > LONGEST_ID:
                continue  # no client of ours: there is no form in which it could be told
            sender, _, number, body = parts
            if len(self._tasks) >= MOST_AT_ONCE:
                await self._send(sender, number, problem(503, "too many requests wait already; try again"))
                continue
            task = asyncio.create_task(self._serve(sender, number, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, sender: bytes, number: bytes, body: bytes) -> None:
        request = parsed(body, self._role)
        await self._send(sender, number, request if isinstance(request, Outcome) else await self._api.answer(request))

    async def _send(self, sender: bytes, number: bytes, outcome: Outcome) -> None:
        answer = json.dumps({"status": outcome.status, "body": outcome.body}).encode()
        try:
            await self._socket.send_multipart([sender, MESSAGE, number, answer], zmq.NOBLOCK)
        except zmq.ZMQError:  # the client left, or takes nothing
            return


def parsed(body: bytes, role: Role) -> Request | Outcome:
    """The request in a message, or what is wrong with it."""
    try:
        values: Any = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return problem(422, "the message's third part is no JSON")
    if not isinstance(values, dict) or not {"method", "path"} <= values.keys():
        return problem(422, "the message's third part must be an object with method and path")
    method, path, asked, if_match = (values.get(name) for name in ("method", "path", "body", "if_match"))
    if not isinstance(method, str) or not isinstance(path, str) or len(path) > 1000:
        return problem(422, "method and path must be text")
    client = values.get("client")
    name = "".join(letter for letter in client if letter.isprintable()) if isinstance(client, str) else ""
    return Request(
        method=method,
        path=path,
        body=b"" if asked is None else json.dumps(asked).encode(),
        if_match=None if if_match is None else str(if_match)[:40],
        role=role,
        who=f"{name[:LONGEST_CLIENT] or 'somebody'} on this machine",
    )
