"""The settings of a running livemef as Foxglove's parameters."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from livemef.fusion.stream.control_doors import ControlError
from livemef.tools.ctl import opened

RETRY_S = 2.0


class SettingsListener:
    """The listener of `foxglove.start_server`; of its protocol ServerListener, the calls that come.

    at: address of the run's control, as of `livemef ctl`; None = the run here. Each call opens it anew: calls come from
    threads of the SDK.
    """

    def __init__(self, at: str | None) -> None:
        """Raises ControlError if the run does not answer."""
        self._at = at
        self._server: Any = None
        self._over = threading.Event()
        self._values()

    def on_get_parameters(self, client: Any, param_names: list[str], request_id: str | None = None) -> list[Any]:
        """The settings of these names; of all, if none is given."""
        try:
            return _parameters(self._values(), param_names)
        except ControlError as error:
            return self._complain(error)

    def on_set_parameters(self, client: Any, parameters: list[Any], request_id: str | None = None) -> list[Any]:
        """Change settings. Returns their values afterwards: those from before where they were refused."""
        wanted = {parameter.name: parameter.get_value() for parameter in parameters}
        try:
            with opened(self._at) as camera:
                camera.set(wanted)
        except ControlError as error:
            self._complain(error)
        return self.on_get_parameters(client, list(wanted))

    def on_parameters_subscribe(self, param_names: list[str]) -> None:
        """See ServerListener: every change is told to whoever subscribed."""

    def on_parameters_unsubscribe(self, param_names: list[str]) -> None:
        """See ServerListener."""

    def on_subscribe(self, client: Any, channel: Any) -> None:
        """See ServerListener: called for each topic that a client opens; the SDK itself sends it."""

    def on_unsubscribe(self, client: Any, channel: Any) -> None:
        """See ServerListener."""

    def start(self, server: Any) -> None:
        """Tell the server's clients of every change, by whomever, until `stop`."""
        self._server = server
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        """Tell nothing more."""
        self._over.set()

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                with opened(self._at) as camera:
                    for event in camera.events():
                        if self._over.is_set():
                            return
                        if event.event == "settings":
                            self._server.publish_parameter_values(_parameters(camera.settings, ()))
            except ControlError:  # the run has ended, or starts again
                self._over.wait(RETRY_S)

    def _values(self) -> dict[str, Any]:
        with opened(self._at) as camera:
            return camera.settings

    def _complain(self, error: ControlError) -> list[Any]:
        from foxglove.websocket import StatusLevel

        details = "; ".join(f"{one['key']}: {one['message']}" for one in error.errors)
        if self._server is not None:
            self._server.publish_status(f"{error} {details}".strip(), StatusLevel.Warning)
        return []


def _parameters(values: dict[str, Any], names: Iterable[str]) -> list[Any]:
    from foxglove import Parameter

    chosen = set(names) or values.keys()
    return [Parameter(name, value=value) for name, value in values.items() if name in chosen]
