"""Tell systemd how we are (sd_notify(3)); silent where systemd did not start us."""

from __future__ import annotations

import os
import socket


def sd_notify(state: str) -> bool:
    """Send e.g. "READY=1", "WATCHDOG=1" or "STATUS=..." to the service manager. False if there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.settimeout(0.5)
            client.sendto(state.encode(), address)
        except OSError:
            return False
    return True
