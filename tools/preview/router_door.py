"""The ZeroMQ door of the control API: a ROUTER, in the run's folder for this user alone, or over tcp with keys."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import zmq
import zmq.asyncio

from livemef.fusion.errors import FusionError
from livemef.fusion.stream.control_doors import LARGEST_FILE, MESSAGE
from livemef.fusion.stream.endpoint import Attachment, Endpoint, parse_endpoint
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.publisher import DEAD_PEER_MS
from livemef.fusion.stream.security import CurveServer, sender_grant
from livemef.tools.preview.api import LONGEST_BODY, LONGEST_CLIENT, Api, Request
from livemef.tools.preview.guard import Role
from livemef.tools.run.outcome import Outcome, problem

MOST_AT_ONCE = 64
LONGEST_ID = 64
FILE_LIMIT_S = 60.0
FILE_TURN_S = 0.02


@dataclass(frozen=True)
class Sender:
    """Who has sent a message. where: for the log, such as "on this machine". encrypted: see Request."""

    role: Role
    where: str
    encrypted: bool | None = None


THIS_USER = Sender("control", "on this machine")


def control_endpoint(text: str) -> Endpoint:
    """The endpoint of `control.endpoint`, to be bound. Raises FusionError."""
    endpoint = parse_endpoint(text, "pub")
    if not endpoint.bind or not endpoint.address.startswith("tcp://"):
        raise FusionError(f"control.endpoint {text!r}: it must be tcp://HOST:PORT of this machine")
    return endpoint


class RouterDoor:
    """endpoint: to be bound. keys: whose allow-list says who may look and who may control; None = everybody who can
    reach the socket may control, for a path that only this user may enter.

    Raises FusionError if the endpoint cannot be used, or this machine has no key.
    """

    def __init__(self, api: Api, endpoint: Endpoint, keys: KeyFolder | None = None) -> None:
        self._api, self._keys = api, keys
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: Any = zmq.asyncio.Context.shadow(self._context.underlying).socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_BODY + 4096)
        self._socket.setsockopt(zmq.RCVHWM, MOST_AT_ONCE)
        self._socket.setsockopt(zmq.SNDHWM, MOST_AT_ONCE)
        self._socket.setsockopt(zmq.TCP_MAXRT, DEAD_PEER_MS)
        self._curve: CurveServer | None = None
        self._attachment: Attachment | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._receiving: asyncio.Task[None] | None = None
        self._file_goes = asyncio.Lock()
        """One file at a time is in memory."""
        try:
            if keys is not None:
                self._curve = self._with_keys(endpoint, keys)
            self._attachment = Attachment(cast(Any, self._socket), endpoint)
        except BaseException:
            self._end()
            raise
        self.address = self._attachment.address
        """The address in use; with port 0 asked for, the port that was found."""

    def _with_keys(self, endpoint: Endpoint, keys: KeyFolder) -> CurveServer:
        own = keys.own()
        if own is None:
            raise FusionError(
                f"control.endpoint {endpoint.address}: needs keys, and this machine has none: livemef keys new, then "
                "livemef keys allow 'KEY OF THE OTHER MACHINE' --may-control"
            )
        return CurveServer(self._socket, self._context, own, keys)

    def start(self) -> None:
        """Begin to receive."""
        self._receiving = asyncio.create_task(self._receive())

    async def close(self) -> None:
        """End, without the answers that are still awaited."""
        tasks = [*self._tasks, *([self._receiving] if self._receiving else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._end()

    def _end(self) -> None:
        self._socket.close(0)
        if self._curve is not None:
            self._curve.close()
        self._context.destroy(linger=0)
        if self._attachment is not None:
            self._attachment.close()

    async def _receive(self) -> None:
        while True:
            frames = await self._socket.recv_multipart(copy=False)
            if len(frames) != 4 or frames[1].bytes != MESSAGE or len(frames[2].bytes) > LONGEST_ID:
                continue  # no client of ours: there is no form in which it could be told
            sender, number, body = frames[0].bytes, frames[2].bytes, frames[3].bytes
            if len(self._tasks) >= MOST_AT_ONCE:
                await self._send(sender, number, problem(503, "too many requests wait already; try again"))
                continue
            task = asyncio.create_task(self._serve(sender, number, body, self._sender(frames)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)  # what needs no waiting is answered before the next one is read

    def _sender(self, frames: Sequence[zmq.Frame]) -> Sender | None:
        """By the allow-list as it is now, whatever it was when the connection was made; None = may nothing."""
        if self._keys is None:
            return THIS_USER
        try:
            key = str(frames[-1].get("User-Id")).encode("ascii")
        except (zmq.ZMQError, UnicodeEncodeError):  # no authenticator has let it in
            return None
        grant = sender_grant(self._keys, key)
        if grant is None:
            return None
        return Sender("control" if grant.may_control else "view", f"with key {grant.key.name}", encrypted=True)

    async def _serve(self, sender: bytes, number: bytes, body: bytes, who: Sender | None) -> None:
        if who is None:
            await self._send(sender, number, problem(401, "this key has been taken back"))
            return
        request = parsed(body, who)
        outcome = request if isinstance(request, Outcome) else await self._api.answer(request)
        if outcome.file is None:
            await self._send(sender, number, _keys_advice(outcome, who))
        else:
            await self._send_file(sender, number, outcome.file)

    async def _send(self, sender: bytes, number: bytes, outcome: Outcome) -> None:
        answer = json.dumps({"status": outcome.status, "body": outcome.body}).encode()
        try:
            await self._socket.send_multipart([sender, MESSAGE, number, answer], zmq.NOBLOCK)
        except zmq.ZMQError:  # the client left, or takes nothing
            return

    async def _send_file(self, sender: bytes, number: bytes, path: Path) -> None:
        """The answer with a file as its fourth part."""
        async with self._file_goes:
            try:
                data = await asyncio.to_thread(_read, path)
            except OSError as error:
                await self._send(sender, number, problem(404, f"the file cannot be read: {error.strerror}"))
                return
            answer = json.dumps({"status": 200, "body": {"bytes": len(data)}}).encode()
            parts = [sender, MESSAGE, number, answer, data]
            try:
                tracker = await self._socket.send_multipart(parts, zmq.NOBLOCK, copy=False, track=True)
            except zmq.ZMQError:  # see _send
                return
            end = time.monotonic() + FILE_LIMIT_S
            while not tracker.done and time.monotonic() < end:
                await asyncio.sleep(FILE_TURN_S)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE)


def _keys_advice(outcome: Outcome, who: Sender) -> Outcome:
    """A refusal for the role, with what helps who came with a key."""
    if outcome.status != 403 or who.encrypted is None:
        return outcome
    return problem(403, "this key may only look; on the machine of the run: livemef keys allow 'KEY' --may-control")


def parsed(body: bytes, who: Sender = THIS_USER) -> Request | Outcome:
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
        role=who.role,
        who=f"{name[:LONGEST_CLIENT] or 'somebody'} {who.where}",
        encrypted=who.encrypted,
    )
