"""How many connections the page's server holds: whoever opens them by the thousand must not keep others out."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from livemef.fusion.errors import FusionError

MOST_CONNECTIONS = 500
"""64 browsers open 6 each at the most. Never more than half the files that this process may open."""
RECEIVE_BUFFER = 4096
"""Bytes of requests that the kernel holds for a connection. The page's have ten."""
BACKLOG = 128


class Listener(socket.socket):
    """A listening socket that holds `most` accepted connections, and makes room for a new one by closing the oldest
    that no request is under way on.

    asyncio would go on until no file is left to open, answer nobody then, and log a traceback hundreds of times a
    second.
    """

    def __init__(self, family: int, kind: int, protocol: int, most: int | None = None) -> None:
        super().__init__(family, kind, protocol)
        self.most = most or min(MOST_CONNECTIONS, max(8, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self._accepted: dict[int, socket.socket] = {}
        self._busy: Counter[int] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """As a socket's. Raises ConnectionAbortedError, which asyncio passes over, where there is no room."""
        connection, address = super().accept()
        self._accepted = {fd: held for fd, held in self._accepted.items() if held.fileno() == fd}
        if len(self._accepted) >= self.most and not self._make_room():
            connection.close()
            raise ConnectionAbortedError("too many connections")
        self._accepted[connection.fileno()] = connection
        return connection, address

    def _make_room(self) -> bool:
        fd = next((fd for fd in self._accepted if not self._busy[fd]), None)
        if fd is None:
            return False
        with contextlib.suppress(OSError):  # the peer may have left
            self._accepted.pop(fd).shutdown(socket.SHUT_RDWR)  # its transport sees the end, and closes it
        return True

    @web.middleware
    async def watch(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Middleware: while a request is under way its connection is kept."""
        ours = None if request.transport is None else request.transport.get_extra_info("socket")
        fd = -1 if ours is None else ours.fileno()
        self._busy[fd] += 1
        try:
            return await handler(request)
        finally:
            self._busy[fd] -= 1
            if not self._busy[fd]:
                del self._busy[fd]


def listening(host: str, port: int) -> Listener:
    """A socket that takes little at a time: what a client sends at once is worked through without a pause.

    Raises FusionError where it cannot listen.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = Listener(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        listener.bind(address)
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        if listener is not None:
            listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise FusionError(f"the preview cannot listen on {host}:{port}: {why}") from None
    return listener
