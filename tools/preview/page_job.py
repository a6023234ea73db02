"""What the process of the page is started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageJob:
    """source: `sub+connect:...` of a publisher. host, port: where to listen (port 0: any free one).

    view_token: what who only looks must send, None = nothing, on loopback only. control_token: what who changes
    something must send. folder: of the run, for this user alone, where the control socket lies. Without a pipeline
    to control, both are None. insecure: control off loopback needs no encryption.
    certificate, key: PEM files for https, "" = http. control_endpoint: where allowed keys may control over ZeroMQ, "" =
    nowhere.
    """

    source: str
    host: str
    port: int
    view_token: str | None = None
    control_token: str | None = None
    folder: str | None = None
    insecure: bool = False
    certificate: str = ""
    key: str = ""
    control_endpoint: str = ""
