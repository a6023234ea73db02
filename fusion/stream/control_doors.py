"""The two ways to the control API of a running livemef: HTTP and ZeroMQ (docs/control.md)."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Protocol

import zmq

from livemef.fusion.errors import FusionError
from livemef.fusion.stream.endpoint import Attachment, parse_endpoint
from livemef.fusion.stream.keys import KeyFolder
from livemef.fusion.stream.security import HandshakeMonitor, host_and_port, secure_client

MESSAGE = b"livemef1"
LARGEST_ANSWER = 1 << 20
LARGEST_FILE = 1 << 30
TURN_S = 0.2


class ControlError(FusionError):
    """A request that was refused, or not answered.

    status: as in HTTP, 0 = no answer. errors: `key`, `message` and `allowed` of each key that is wrong.
    """

    def __init__(self, message: str, status: int = 0, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status, self.errors = status, errors or []


class Door(Protocol):
    """A way to the API."""

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float) -> tuple[int, Any]:
        """Status and body of the answer. Raises ControlError if none comes."""
        ...

    def file(self, still: Mapping[str, Any], name: str, timeout_s: float) -> bytes:
        """A file of a still. Raises ControlError."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class HttpDoor:
    """address: `http://HOST:PORT`, with or without a path before the API."""

    def __init__(self, address: str, token: str | None) -> None:
        self._address = address.rstrip("/") + "/api/v1"
        self._headers = {"Content-Type": "application/json", "Livemef-Client": "python"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = urllib.request.build_opener()  # urlopen's keeps the certificates of its first call

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float) -> tuple[int, Any]:
        """See Door."""
        data = None if body is None else json.dumps(body).encode()
        status, answer = self._exchange(method, path, data, timeout_s, LARGEST_ANSWER)
        try:
            return status, json.loads(answer)
        except ValueError:
            raise ControlError(f"{self._address}: is no livemef: its answer is no JSON", status) from None

    def file(self, still: Mapping[str, Any], name: str, timeout_s: float) -> bytes:
        """See Door."""
        status, answer = self._exchange("GET", f"/stills/{still['id']}/{name}", None, timeout_s, LARGEST_FILE)
        if status != 200:
            raise ControlError(f"still {still['id']}: {name} cannot be had", status)
        return answer

    def _exchange(
        self, method: str, path: str, data: bytes | None, timeout_s: float, largest: int
    ) -> tuple[int, bytes]:
        try:
            request = urllib.request.Request(self._address + path, data, self._headers, method=method)
            with self._opener.open(request, timeout=timeout_s) as answer:
                return answer.status, answer.read(largest)
        except urllib.error.HTTPError as error:
            return error.code, error.read(largest)
        except (OSError, ValueError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ControlError(f"{self._address}: does not answer ({reason}); is livemef run there?") from None

    def close(self) -> None:
        """See Door."""


class ZeroMqDoor:
    """address: `ipc:///PATH` of a run's control socket, or `tcp://HOST:PORT`, whose key must be trusted here.

    keys: where keys are looked up, None = this user's. Raises ControlError for a wrong address, or missing keys.
    """

    def __init__(self, address: str, keys: KeyFolder | None = None) -> None:
        self._address, keys = address, keys or KeyFolder()
        self._context = zmq.Context()
        try:
            endpoint = parse_endpoint(address, "sub")
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_FILE)
            encrypted = secure_client(self._socket, endpoint, keys)
            if not encrypted and address.startswith("tcp://"):
                host = host_and_port(endpoint)[0]
                raise ControlError(
                    f"{address}: its key is not known here: livemef keys trust {host} 'its key', which livemef keys "
                    "invite prints there"
                )
            self._monitor = HandshakeMonitor(self._socket, encrypted, keys, " --may-control")
            self._attachment = Attachment(self._socket, endpoint)
        except FusionError as error:
            self._context.destroy(linger=0)
            raise ControlError(str(error)) from None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float) -> tuple[int, Any]:
        """See Door."""
        status, answer, _ = self._exchange(method, path, body, timeout_s)
        return status, answer

    def file(self, still: Mapping[str, Any], name: str, timeout_s: float) -> bytes:
        """See Door."""
        status, _, file = self._exchange("GET", f"/stills/{still['id']}/{name}", None, timeout_s)
        if status != 200 or file is None:
            raise ControlError(f"still {still['id']}: {name} cannot be had", status)
        return file

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float
    ) -> tuple[int, Any, bytes | None]:
        """Status, body, and the file if the answer has one. Raises ControlError."""
        number = secrets.token_bytes(8)
        asked = {"method": method, "path": path, "body": body or {}, "client": "python"}
        self._socket.send_multipart([MESSAGE, number, json.dumps(asked).encode()])
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            if self._socket.poll(int(1000 * min(left_s, TURN_S)) + 1):
                parts = self._socket.recv_multipart()
                if len(parts) in (3, 4) and parts[:2] == [MESSAGE, number]:  # else a late answer to what was given up
                    answer = json.loads(parts[2])
                    return int(answer["status"]), answer["body"], parts[3] if len(parts) == 4 else None
            elif reason := self._monitor.reason():
                raise ControlError(f"{self._address}: {reason}", 401)
        raise ControlError(f"{self._address}: does not answer within {timeout_s:g} s; does the run still live?")

    def close(self) -> None:
        """See Door."""
        if not self._context.closed:
            self._monitor.close()
            self._context.destroy(linger=0)
