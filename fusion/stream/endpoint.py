"""Endpoints of streams: `[pub|sub][+bind|+connect]:transport://address`, the grammar of Savant.

https://github.com/insight-platform/Savant
"""

from __future__ import annotations

import errno
import os
import re
import socket as unix
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq

from livemef.fusion.errors import FusionError

LONGEST_IPC_PATH = 107
"""Bytes that a Unix socket's path may have (sockaddr_un less its final zero)."""

_FORM = re.compile(
    r"(?:(?P<role>pub|sub)?(?:\+(?P<way>bind|connect))?:)?(?P<transport>[a-z]+)://(?P<place>.*)", re.DOTALL
)
_TCP_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]]+):(?P<port>\d{1,5}|\*)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed endpoint. `role` is "pub" or "sub", `address` what ZeroMQ takes: `tcp://host:port` or
    `ipc://path`.
    """

    role: str
    bind: bool
    address: str

    def __str__(self) -> str:
        return f"{self.role}+{'bind' if self.bind else 'connect'}:{self.address}"

    @property
    def any_port(self) -> bool:
        """Whether it is bound to whatever TCP port is free."""
        return self.address.startswith("tcp://") and self.address.endswith((":0", ":*"))

    @property
    def ipc_path(self) -> Path | None:
        """The socket's file; None for tcp and for an abstract name (`ipc://@name`), which has none."""
        if not self.address.startswith("ipc://") or self.address.startswith("ipc://@"):
            return None
        return Path(self.address.removeprefix("ipc://"))


def parse_endpoint(text: str, role: str) -> Endpoint:
    """Parse an endpoint for use as `role` ("pub" or "sub").

    Defaults of parts that are left out: the role as given here; a publisher binds, a subscriber connects. Raises
    FusionError.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise _wrong(text, f"expected {role}[+bind|+connect]:tcp://HOST:PORT or ...:ipc:///PATH")
    named = match["role"] or role
    if named != role:
        raise _wrong(text, f"a {named} endpoint stands where a {role} endpoint is needed")
    bind = match["way"] == "bind" if match["way"] else role == "pub"
    _check_place(text, match["transport"], match["place"], bind)
    return Endpoint(role, bind, f"{match['transport']}://{match['place']}")


def _wrong(text: str, why: str) -> FusionError:
    return FusionError(f"endpoint {text!r}: {why}")


def _check_place(text: str, transport: str, place: str, bind: bool) -> None:
    if transport == "tcp":
        _check_tcp(text, place, bind)
    elif transport == "ipc":
        _check_ipc(text, place)
    else:
        raise _wrong(text, f"transport {transport!r} is not known; use tcp or ipc")


def _check_tcp(text: str, place: str, bind: bool) -> None:
    match = _TCP_PLACE.fullmatch(place)
    if match is None:
        raise _wrong(text, "tcp needs HOST:PORT, for instance tcp://127.0.0.1:5556 or tcp://[::1]:5556")
    if not bind and (match["port"] in ("*", "0") or match["host"] == "*"):
        raise _wrong(text, "'*' and port 0 can only be bound, not connected to")
    if match["port"] != "*" and int(match["port"]) > 65535:
        raise _wrong(text, f"port {match['port']} is above 65535")


def _check_ipc(text: str, place: str) -> None:
    if not place or place == "@" or "\0" in place:
        raise _wrong(text, "ipc needs a path, for instance ipc:///run/user/1000/livemef")
    if len(os.fsencode(place)) > LONGEST_IPC_PATH:
        raise _wrong(text, f"the path is longer than the {LONGEST_IPC_PATH} bytes a Unix socket may have")


class Attachment:
    """Binds or connects a ZeroMQ socket; `close` removes the file of an ipc path that it bound."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: Endpoint) -> None:
        """Bind or connect `socket`. Raises FusionError, also if another process has bound the endpoint."""
        self._path: Path | None = endpoint.ipc_path if endpoint.bind else None
        self._inode: tuple[int, int] | None = None
        if "[" in endpoint.address or "*" in endpoint.address:
            socket.setsockopt(zmq.IPV6, 1)
        if self._path is not None:
            _clear_stale(self._path, endpoint)
        try:
            (socket.bind if endpoint.bind else socket.connect)(endpoint.address)
        except zmq.ZMQError as error:
            raise FusionError(f"endpoint {str(endpoint)!r}: {_reason(error)}") from None
        self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._inode = _inode(self._path)

    def close(self) -> None:
        """Remove the socket's file, if it is still the one this attachment made."""
        if self._path is not None and self._inode is not None and _inode(self._path) == self._inode:
            self._path.unlink(missing_ok=True)
        self._inode = None


def _inode(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _clear_stale(path: Path, endpoint: Endpoint) -> None:
    """Remove the socket file of a process that has ended. ZeroMQ would also remove that of a running one, and take over
    its subscribers.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise FusionError(f"endpoint {str(endpoint)!r}: {os.strerror(error.errno or 0)}") from None
    if not stat.S_ISSOCK(mode):
        raise FusionError(f"endpoint {str(endpoint)!r}: a file that is no socket stands there; choose another path")
    if _somebody_listens(path):
        raise FusionError(f"endpoint {str(endpoint)!r}: in use by another program; stop it or choose another path")
    path.unlink(missing_ok=True)


def _somebody_listens(path: Path) -> bool:
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(os.fspath(path))
    # anything but a refusal counts as alive: a full queue (EAGAIN) or missing rights (EACCES) both have an owner
    return answer not in (errno.ECONNREFUSED, errno.ENOENT)


def _reason(error: zmq.ZMQError) -> str:
    reasons = {
        errno.EADDRINUSE: "in use by another program; stop it or choose another port",
        errno.EADDRNOTAVAIL: "this machine has no such address; bind 127.0.0.1, 0.0.0.0 or one of its own",
        errno.ENODEV: "this machine has no such address; bind 127.0.0.1, 0.0.0.0 or one of its own",
        errno.ENOENT: "its folder does not exist; create it or choose another path",
        errno.EACCES: "not permitted here; choose a port above 1023 or a folder you may write to",
    }
    return reasons.get(error.errno or 0, f"cannot be used ({os.strerror(error.errno or 0)})")
