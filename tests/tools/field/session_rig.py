"""A real session of field capture on the simulated target, for tests: its process, its page, its state."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from livemef.capture.cameras.simulation.target_sheet import HEIGHT, WIDTH, pixels_per_side
from livemef.fusion.stream.local_runs import local_runs
from livemef.tools.cli import main
from tests.tools.command import ROOT
from tests.tools.run.test_run import free_port

SIZE = 640, 360
CAMERA = f"sim://?scene=target&motion=0&size={SIZE[0]}x{SIZE[1]}"
LIMIT_S = 90.0


def corners() -> list[float]:
    """Of the target's chart in the picture: so that no chart detector is needed."""
    side, middle = pixels_per_side(*SIZE), ((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2)
    at = [(0.0, 0.0), (WIDTH, 0.0), (WIDTH, HEIGHT), (0.0, HEIGHT)]
    places = [((x - WIDTH / 2) * side + middle[0], (y - (HEIGHT + 0.6) / 2) * side + middle[1]) for x, y in at]
    return [round(value, 2) for place in places for value in place]


def make_project(folder: Path, camera: str = CAMERA, **values: object) -> Path:
    """A project with that camera. values: keys of project.toml, by their last name, and their new values."""
    assert main(["shoot", "new", str(folder)]) == 0
    path = folder / "project.toml"
    text = path.read_text()
    changes = {"camera": camera, "exposures": "1ms,5ms,25ms", "frames": 2, "corners": corners()} | values
    for key, value in changes.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", lambda _, k=key, v=value: f"{k} = {json.dumps(v)}", text)
        assert found == 1, key
    path.write_text(text)
    return folder


class Session:
    """`livemef shoot open`, without input and with its page, until `close`."""

    def __init__(self, project: Path, *flags: str) -> None:
        command = [sys.executable, "-m", "livemef", "shoot", "open", str(project), "--no-input", "--json"]
        command += ["--preview", f"127.0.0.1:{free_port()}", *flags]
        self.errors = (project / "errors.txt").open("w+")
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        assert self.process.stdout is not None
        self.opened = json.loads(self.process.stdout.readline() or "{}")
        assert self.opened.get("event") == "open", (self.opened, (project / "errors.txt").read_text())
        self.page = self.opened["page"]
        (self.run,) = [run for run in local_runs() if run.pid == self.process.pid]
        self.page_with_token = self.run.page_with_token() or ""
        self.token = self.page_with_token.partition("?token=")[2]

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return Path(self.opened["session"])

    def call(self, method: str, path: str, body: object = None, token: str | None = "") -> tuple[int, dict[str, Any]]:
        """Status and JSON. token: "" = the session's, None = none."""
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.token}"
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.page}api/v1/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def state(self) -> dict[str, Any]:
        """GET /session."""
        status, found = self.call("GET", "session")
        assert status == 200, found
        return found

    def events(self, last: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and data of each server-sent event, for who may only look. last: id of the last event that is known."""
        request = urllib.request.Request(f"{self.page}api/v1/events", headers={"Last-Event-ID": last} if last else {})
        with urllib.request.urlopen(request, timeout=30) as answer:
            name = ""
            for line in answer:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The state once the condition holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition(state := self.state()):
            assert time.monotonic() < deadline, state
            time.sleep(0.1)
        return state

    def close(self) -> list[dict[str, Any]]:
        """End the session by Ctrl-C, unless it has ended; all events that it said since it was open."""
        if self.errors.closed:
            return []
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=60)
        self.errors.close()
        return [json.loads(line) for line in out.splitlines()]
