"""What happens in an open session, as events of the control API: its state, and what its terminal prints."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

STATE, EVENT = "session", "session_event"
"""Names of the two events."""
PERIOD_S = 0.25
REPEAT_S = 5.0
"""An unchanged state is sent again after so long: the page's server may have been started anew."""

Tell = Callable[[str, Mapping[str, Any]], None]


class SessionNews:
    """Sends the session's state at once, then whenever it has changed, until `close`."""

    def __init__(self, tell: Tell, snapshot: Callable[[], dict[str, Any]]) -> None:
        """tell: takes an event's name and data; may not wait. snapshot: the state."""
        self._tell, self._snapshot = tell, snapshot
        self._ending = threading.Event()
        self._sent: dict[str, Any] = {}
        self._sent_s = 0.0
        self._send()  # before the first event, so that nobody gets an event of a session whose state is not known
        self._thread = threading.Thread(target=self._run, name="session news", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send no more states."""
        self._ending.set()
        self._thread.join(PERIOD_S + 5)

    def _run(self) -> None:
        while not self._ending.wait(PERIOD_S):
            self._send()

    def _send(self) -> None:
        state = for_everybody(self._snapshot())
        if state != self._sent or time.monotonic() - self._sent_s > REPEAT_S:
            self._sent, self._sent_s = state, time.monotonic()
            self._tell(STATE, state)


def for_everybody(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without places on the machine, which those who may only look need not know: of folder and session, the name."""
    shown = {key: value for key, value in values.items() if key != "project"}
    return shown | {key: Path(str(shown[key])).name for key in ("folder", "session") if key in shown}
