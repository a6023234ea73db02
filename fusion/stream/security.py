"""Who may connect: on this machine everybody who can reach the socket; off it only allowed keys, unless told otherwise.

Off loopback a publisher uses CURVE with its own key and the allow-list, which is read at each handshake: a key that is
allowed takes effect at once. ZAP_ENFORCE_DOMAIN is set, so that nobody gets in while the authenticator does not answer.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from livemef.fusion.errors import FusionError
from livemef.fusion.stream.endpoint import Endpoint
from livemef.fusion.stream.keys import Grant, KeyFolder, OwnKey, decode_z85

DOMAIN = "livemef"
_LOG = logging.getLogger(__name__)

HANDSHAKE_FAILURES = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


def is_local(endpoint: Endpoint) -> bool:
    """Whether only this machine can reach the endpoint: ipc, or tcp on a loopback address."""
    if not endpoint.address.startswith("tcp://"):
        return True
    host = host_and_port(endpoint)[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def host_and_port(endpoint: Endpoint) -> tuple[str, str]:
    """Of a tcp endpoint; the host without brackets."""
    host, _, port = endpoint.address.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), port


class PublisherSecurity:
    """What a publisher asks of those who connect. Made before the socket is bound; close it after the socket."""

    def __init__(
        self, socket: zmq.Socket[bytes], endpoint: Endpoint, *, insecure: bool, has_curve: bool, keys: KeyFolder
    ) -> None:
        """insecure: serve everybody, also off this machine. has_curve: the message format's receivers know CURVE.

        Raises FusionError, with the ways out, for an endpoint that others can reach and that would be open to all.
        """
        self._curve: CurveServer | None = None
        self.mechanism = "plain"
        if is_local(endpoint) or insecure:
            return
        if not has_curve:
            raise FusionError(
                f"endpoint {str(endpoint)!r}: can be reached from other machines, and imagezmq knows no keys: bind "
                "127.0.0.1 and go through ssh -L, use --wire livemef, or say --insecure"
            )
        own = keys.own()
        if own is None:
            raise FusionError(
                f"endpoint {str(endpoint)!r}: can be reached from other machines, and there are no keys: bind "
                "127.0.0.1 and go through ssh -L, make keys with livemef keys new, or say --insecure"
            )
        self.mechanism = "curve"
        self._curve = CurveServer(socket, socket.context, own, keys)

    def close(self) -> None:
        """Stop asking. Nobody new gets in from then on. May be called twice."""
        if self._curve is not None:
            self._curve.close()


class CurveServer:
    """Makes a socket, before it is bound, one that only keys on the allow-list can connect to; close it after the
    socket. context: the socket's, with no other authenticator. own: the key that clients must know.
    """

    def __init__(self, socket: zmq.Socket[Any], context: zmq.Context[Any], own: OwnKey, keys: KeyFolder) -> None:
        self._authenticator: ThreadAuthenticator | None = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=DOMAIN, credentials_provider=_AllowList(keys))
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public.key)
        socket.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def close(self) -> None:
        """Stop the authenticator. Nobody new gets in from then on. May be called twice."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None


class _AllowList:
    """Answers the authenticator from the file as it is at that moment; a damaged one lets nobody in."""

    def __init__(self, keys: KeyFolder) -> None:
        self._keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether the key, in Z85, is on the list."""
        return sender_grant(self._keys, key) is not None


def sender_grant(keys: KeyFolder, key: bytes) -> Grant | None:
    """What the owner of a key, in Z85, may do at this moment; None = nothing, also where the list is damaged."""
    try:
        return keys.grant_of(decode_z85(key))
    except (FusionError, ValueError) as error:
        _LOG.warning("nobody is let in: %s", error)
        return None


def secure_client(socket: zmq.Socket[Any], endpoint: Endpoint, keys: KeyFolder) -> bool:
    """Use CURVE towards a server whose key is known (`livemef keys trust`); whether it is used.

    Raises FusionError if the server's key is known but this machine has none.
    """
    if endpoint.bind or not endpoint.address.startswith("tcp://"):
        return False
    host, port = host_and_port(endpoint)
    server = keys.key_of(host, port)
    if server is None:
        return False
    own = keys.own()
    if own is None:
        raise FusionError(f"{endpoint}: uses keys, and this machine has none: livemef keys new")
    socket.setsockopt(zmq.CURVE_SERVERKEY, server.key)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public.key)
    return True


class HandshakeMonitor:
    """Why a connection does not come about, in words for whoever waits for it."""

    def __init__(self, socket: zmq.Socket[Any], uses_curve: bool, keys: KeyFolder, option: str = "") -> None:
        """To be made before the socket connects. option: of `livemef keys allow`, for what this client wants to do."""
        self._option = option
        self._monitored, self._uses_curve, self._keys = socket, uses_curve, keys
        self._socket = socket.get_monitor_socket(HANDSHAKE_FAILURES)
        self._reason = ""

    def reason(self) -> str:
        """What the last failed handshake says; "" if none has failed."""
        while self._socket.poll(0):
            event = int(recv_monitor_message(self._socket)["event"])
            self._reason = self._refused() if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH else self._different()
        return self._reason

    def _refused(self) -> str:
        with contextlib.suppress(FusionError):
            own = self._keys.own()
            if own is not None:
                return f"it does not allow this machine's key; there: livemef keys allow '{own.public}'{self._option}"
        return "it does not allow this machine"

    def _different(self) -> str:
        if self._uses_curve:
            return "its key is not the one that is trusted here, or it uses none: compare with livemef keys show there"
        return "it uses keys: livemef keys trust HOST 'its key', which livemef keys invite prints there"

    def close(self) -> None:
        """Stop monitoring. To be called before the socket is closed."""
        self._monitored.disable_monitor()
