"""Controlling a running livemef from a program: `livemef.control` (docs/control.md)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from livemef.capture.files.image_io import read_picture
from livemef.capture.frame import Pixels
from livemef.fusion.stream.control_doors import ControlError, Door, HttpDoor, ZeroMqDoor
from livemef.fusion.stream.local_runs import LocalRun, local_runs


@dataclass(frozen=True)
class ControlEvent:
    """Something that has happened. event: "settings", "plan", "process", "still", "recording", "session" or
    "session_event". data: what docs/control.md says of it.
    """

    event: str
    data: dict[str, Any]


class Control:
    """A running livemef. Use it as a context manager, or call `close`. Not thread-safe.

    Every method raises ControlError, with a reason in one line, for what is refused or not answered.
    """

    def __init__(self, door: Door, timeout_s: float) -> None:
        self._door, self._timeout_s = door, timeout_s

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        """A request of docs/control.md, such as `ask("GET", "/status")`; returns the answer's body."""
        status, answer = self._door.ask(method, path, body, timeout_s or self._timeout_s)
        if status < 400:
            return answer
        about = answer if isinstance(answer, dict) else {}
        raise ControlError(str(about.get("detail", f"{method} {path}: status {status}")), status, about.get("errors"))

    @property
    def status(self) -> dict[str, Any]:
        """How the pipeline does: fps, latency_ms, plan, epoch, processes ..."""
        found: dict[str, Any] = self.ask("GET", "/status")
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """The values of all keys that can be changed, by dotted key."""
        tables = self.ask("GET", "/settings")["values"]
        return {f"{table}.{name}": value for table, values in tables.items() for name, value in values.items()}

    def set(self, values: Mapping[str, Any] | None = None, **named: Any) -> int:
        """Change settings; returns their revision, which the headers of the pictures made with them have.

        values: by dotted key, `{"fusion.gamma": 0.8}`. named: by the key's last part, `gamma=0.8, codec="jpeg"`. All of
        a table change at once, or none.
        """
        tables: dict[str, dict[str, Any]] = {}
        for key, value in {**(values or {}), **self._dotted(named)}.items():
            table, _, name = key.partition(".")
            tables.setdefault(table, {})[name] = value
        revision = 0
        for table, change in tables.items():
            revision = int(self.ask("PATCH", f"/settings/{table}", change)["revision"])
        return revision

    def _dotted(self, named: Mapping[str, Any]) -> dict[str, Any]:
        if not named:
            return {}
        known = {key.partition(".")[2]: key for key in self.settings}
        for name in named:
            if name not in known:
                raise ControlError(f"no setting that can be changed is called {name}: {', '.join(known)}", 422)
        return {known[name]: value for name, value in named.items()}

    def hold(self) -> str:
        """Keep the exposures that automatic exposure has found; returns them as text."""
        return str(self.ask("POST", "/exposures/hold")["values"]["capture"]["exposures"])

    def auto(self) -> None:
        """Let the exposures follow the scene."""
        self.ask("POST", "/exposures/auto")

    def save(self) -> None:
        """Write the changed settings to the configuration file that the run was started with."""
        self.ask("POST", "/settings/save")

    def revert(self) -> None:
        """Back to what file, variables and flags say."""
        self.ask("POST", "/settings/revert")

    def restart(self, process: str) -> None:
        """Start a process again: "capture", "fusion" or "gate"."""
        self.ask("POST", "/restart", {"process": process})

    def still(self, format: str = "png16", timeout_s: float = 120.0) -> Pixels:
        """Take a still at full resolution. Returns BGR, height x width x 3, uint16 ("png16") or uint8 ("png8")."""
        still = self.ask("POST", "/stills", {"count": 1, "format": format})
        deadline = time.monotonic() + timeout_s
        while still["state"] in ("taking", "fusing"):
            if time.monotonic() > deadline:
                raise ControlError(f"still {still['id']}: not done within {timeout_s:g} s")
            time.sleep(0.1)
            still = self.ask("GET", f"/stills/{still['id']}")
        if still["state"] != "done":
            raise ControlError(f"still {still['id']}: {still['reason']}")
        return _decoded(self._door.file(still, still["files"][0], self._timeout_s))

    def record(self, name: str, seconds: float | None = None, brackets: int | None = None) -> None:
        """Record brackets as they come, until `stop_recording`, or so many seconds or brackets."""
        limits = {"seconds": seconds, "brackets": brackets}
        self.ask(
            "PUT", "/recording", {"name": name, **{key: value for key, value in limits.items() if value is not None}}
        )

    def stop_recording(self) -> dict[str, Any]:
        """End the recording; returns what was recorded so far. The rest is written after this."""
        found: dict[str, Any] = self.ask("DELETE", "/recording")
        return found

    def events(self, timeout_s: float | None = None) -> Iterator[ControlEvent]:
        """What happens from now on. Ends after `timeout_s` without an event; None = never."""
        after = self.ask("GET", "/events", {"wait_s": 0.0})["last"]
        quiet_since = time.monotonic()
        while timeout_s is None or time.monotonic() - quiet_since < timeout_s:
            wait_s = 10.0 if timeout_s is None else max(0.0, min(10.0, quiet_since + timeout_s - time.monotonic()))
            answer = self.ask("GET", "/events", {"after": after, "wait_s": wait_s}, wait_s + self._timeout_s)
            after = answer["last"]
            for event in answer["events"]:
                quiet_since = time.monotonic()
                yield ControlEvent(event["event"], event["data"])

    def close(self) -> None:
        """End the connection. May be called twice."""
        self._door.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def control(address: str | None = None, *, token: str | None = None, timeout_s: float = 15.0) -> Control:
    """Control a running livemef.

    address: of its page, `http://camera.local:8080`; None = the run of this user on this machine (there must be one
    only), which needs no token; `ipc:///PATH` of its control socket; or `tcp://HOST:PORT` of a run with
    `control.endpoint`, which asks for keys (`livemef keys`). token: the control token of the run, for its page; without
    it one may only look. timeout_s: longest wait for an answer.

    Raises ControlError, also from its methods.

        with livemef.control("http://camera.local:8080", token=TOKEN) as camera:
            camera.set(exposures="1ms,16ms", gamma=0.8)
            picture = camera.still()
    """
    if address is None:
        address = the_only_run().control
    if address.startswith(("ipc://", "tcp://")):
        return Control(ZeroMqDoor(address), timeout_s)
    if not address.startswith(("http://", "https://")):
        raise ControlError(f"{address}: is no address: write http://HOST:PORT, tcp://HOST:PORT, or ipc:///PATH")
    return Control(HttpDoor(address, token), timeout_s)


def the_only_run() -> LocalRun:
    """This user's run on this machine. Raises ControlError if there is none, or more than one."""
    runs = local_runs()
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise ControlError("no livemef run of this user is here: start one, or give its address, http://HOST:PORT")
    listed = "; ".join(f"{run.control} ({run.camera}, process {run.pid})" for run in runs)
    raise ControlError(f"{len(runs)} runs are here, give the address of one (livemef ctl: --at ADDRESS): {listed}")


def _decoded(file: bytes) -> Pixels:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".png") as kept:
        kept.write(file)
        kept.flush()
        picture: Pixels = np.asarray(read_picture(kept.name))
    return picture
