"""The door of an open session: a Unix socket in the run's folder, one line of JSON for each request and answer.

Only processes of the same user (or root) are answered; the folder keeps the others out as well.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from livemef.tools.exits import UserError
from livemef.tools.field.requests import Request, json_request

NAME = "field.sock"
LONGEST_LINE = 64 << 10
IDLE_S = 30.0
ANSWER_LIMIT_S = 120.0

Answer = Mapping[str, Any]


class SessionDoor:
    """Answers requests until `close`; each caller has a thread. answer: may wait; raises UserError for a refusal."""

    def __init__(self, folder: Path, answer: Callable[[Request], Answer]) -> None:
        """folder: where the socket goes, this user's alone."""
        self._server = _Server(str(folder / NAME), answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        super().__init__(path, _Caller)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether the caller is this user."""
        found = request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", found)[1] in (0, os.getuid())


class _Caller(socketserver.StreamRequestHandler):
    timeout = IDLE_S
    server: _Server

    def handle(self) -> None:
        """Answer line by line, until the caller has no more."""
        with suppress(OSError):
            while line := self.rfile.readline(LONGEST_LINE):
                self.wfile.write(json.dumps(self._answered(line), ensure_ascii=False).encode() + b"\n")

    def _answered(self, line: bytes) -> Answer:
        try:
            return self.server.answer(json_request(line))
        except UserError as error:
            return {"error": str(error)}


def ask(folder: Path, request: Mapping[str, Any], limit_s: float = ANSWER_LIMIT_S) -> dict[str, Any]:
    """The session's answer. folder: its run's. Raises UserError for a refusal, or if no session answers there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(limit_s)
        try:
            line.connect(str(folder / NAME))
            line.sendall(json.dumps(request).encode() + b"\n")
            with line.makefile("rb") as received:
                answer = json.loads(received.readline())
        except TimeoutError:
            raise UserError(f"the session did not answer within {limit_s:g} s") from None
        except (OSError, ValueError):
            raise UserError("the session has ended") from None
    if "error" in answer:
        raise UserError(str(answer["error"]))
    return dict(answer)
