"""Who may look: loopback without a token, anything else only with one."""

from __future__ import annotations

import ipaddress
import ssl
from urllib.parse import urlsplit

from livemef.fusion.errors import FusionError


def tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """For https with these PEM files; None for http, where both are "". Raises FusionError for files of no use."""
    if not certificate and not key:
        return None
    if not (certificate and key):
        raise FusionError("https needs both preview.certificate and preview.key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise FusionError(f"preview.certificate {certificate}, preview.key {key}: cannot be used: {error}") from None
    return context


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or address, without port) can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_listen(host: str, token: str | None) -> None:
    """Raises FusionError where the page would be open to everybody on the network, or the token is empty."""
    if token == "":
        raise FusionError("the preview's token is empty: give a real one or none")
    if token is None and not is_loopback(host):
        raise FusionError(f"the preview on {host} could be reached from other machines: set a token, or use 127.0.0.1")


def names_this_machine(host_header: str | None) -> bool:
    """Whether a request's Host is a loopback name: a foreign page whose name was made to point here says that
    name.
    """
    return is_loopback(_split(f"//{host_header or ''}")[0])


def same_origin(origin: str | None, host_header: str | None, forwarded_host: str | None = None) -> bool:
    """Whether a WebSocket was opened by the page itself (or by no page at all).

    forwarded_host: X-Forwarded-Host, from a proxy that puts its own name into Host. A foreign page cannot set it.
    """
    if origin is None:
        return True
    place = _split(origin)[1]
    return bool(place) and place in ((host_header or "").lower(), (forwarded_host or "").lower())


def _split(url: str) -> tuple[str, str]:
    """Host, and host with port, in lower case; empty where it is no URL."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.netloc.lower()
    except ValueError:
        return "", ""
