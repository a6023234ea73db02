"""A running pipeline, changed over HTTP: what the pictures and the events say, and what outlives a kill."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zmq

import livemef
from livemef.fusion.stream.header import Header
from livemef.fusion.stream.local_runs import local_runs
from livemef.fusion.stream.subscriber import Subscriber
from tests.tools.run.test_run import Pipeline, free_port

pytest.importorskip("aiohttp")


class Controlled:
    """A run with a page, and a client of its API."""

    def __init__(self, *arguments: str, **options: str) -> None:
        self.page = free_port()
        self.pipeline = Pipeline("--preview", f"127.0.0.1:{self.page}", *arguments, **options)
        assert self.pipeline.process.stderr is not None
        self._said = ""
        while (found := re.search(r"token is in (\S+)\)", self._said)) is None:
            line = self.pipeline.process.stderr.readline()
            assert line, self._said
            self._said += line
        assert "?token=" not in self._said  # it may be kept in a journal
        self.token = Path(found[1]).read_text().strip()
        threading.Thread(target=self.pipeline.process.stderr.read, daemon=True).start()

    def ask(self, method: str, path: str, body: Any = None, token: bool = True, **headers: str) -> tuple[int, Any]:
        sent = {"Content-Type": "application/json", **headers}
        sent |= {"Authorization": f"Bearer {self.token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.page}/api/v1{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, sent, method=method), timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    folder = tmp_path_factory.mktemp("live")
    file = folder / "livemef.toml"
    file.write_text('# mine\n[fusion]\ngamma = 1.1 # kept\n[capture]\nexposures = "1ms,16ms"\n')
    runs = Path(tempfile.mkdtemp(prefix="livemef-"))  # a socket's path is short
    places = {
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_RUNTIME_DIR": str(runs),
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, place in places.items():
            environment.setenv(name, place)
        controlled = Controlled("--config", str(file), "--motion", "off")
    controlled.runs = runs  # type: ignore[attr-defined]
    controlled.folder = folder  # type: ignore[attr-defined]
    yield controlled
    controlled.pipeline.process.kill()
    controlled.pipeline.process.wait()
    shutil.rmtree(runs)


def header_when(subscriber: Subscriber, fits: Callable[[Header], bool], limit_s: float = 40.0) -> Header:
    end = time.monotonic() + limit_s
    while True:
        header = subscriber.receive(limit_s).header
        if fits(header):
            return header
        assert time.monotonic() < end, header


def times_us(header: Header) -> list[float]:
    return [round(source.measured.exposure_us) for source in header.sources if source.measured is not None]


def restarted(run: Controlled, name: str) -> bool:
    try:
        process = run.ask("GET", "/status")[1].get("processes", {}).get(name, {})
    except (urllib.error.URLError, ConnectionError):
        return False
    return bool(process.get("restarts") and process["state"] == "working")


@pytest.mark.full
def test_changes_reach_the_pictures_and_outlive_the_processes(run: Controlled) -> None:
    with Subscriber(f"sub+connect:{run.pipeline.endpoint}") as subscriber:
        first = header_when(subscriber, lambda header: True)
        assert (first.settings_rev, first.fusion["gamma"], first.epoch) == (1, 1.1, 0)
        status, changed = run.ask("PATCH", "/settings/fusion", {"gamma": 0.7})
        assert (status, changed["revision"]) == (200, 2)
        assert header_when(subscriber, lambda header: header.settings_rev == 2).fusion["gamma"] == 0.7
        assert run.ask("PATCH", "/settings/capture", {"exposures": "2ms,8ms"})[0] == 200
        plan = header_when(subscriber, lambda header: header.epoch == 1)
        assert times_us(plan) == [2000.0, 8000.0]

        os.kill(run.pipeline.children()["fusion"], signal.SIGKILL)
        again = header_when(subscriber, lambda header: header.stream != first.stream)
        assert (again.settings_rev, again.fusion["gamma"]) == (3, 0.7)
        os.kill(run.pipeline.children()["capture"], signal.SIGKILL)
        later = header_when(subscriber, lambda header: header.epoch > plan.epoch)
        assert times_us(later) == [2000.0, 8000.0]
        status, _ = run.ask("POST", "/restart", {"process": "gate"})
        assert status == 202

    end = time.monotonic() + 60
    while not restarted(run, "preview"):  # the gate comes back with the same token, and knows everything
        assert time.monotonic() < end
        time.sleep(0.2)
    settings = run.ask("GET", "/settings")[1]
    assert settings["revision"] == 3
    assert settings["changed"] == ["capture.exposures", "fusion.gamma"]


def test_saved_reverted_and_refused(run: Controlled) -> None:
    file: Path = run.folder / "livemef.toml"  # type: ignore[attr-defined]
    revision = run.ask("GET", "/settings")[1]["revision"]
    for body, status in (({"gamma": 99}, 422), ({"gama": 1}, 422), ([], 422)):
        assert run.ask("PATCH", "/settings/fusion", body)[0] == status
    assert run.ask("PATCH", "/settings/capture", {"exposures": "2ms,999s"})[0] == 422
    assert run.ask("PATCH", "/settings/runtime", {"threads": 999})[0] == 422
    assert run.ask("PATCH", "/settings/control", {"camera": "sim://"})[0] == 422
    assert run.ask("PATCH", "/settings/control", {"folder": "/tmp"})[0] == 422
    assert run.ask("PATCH", "/settings/preview", {"port": 1})[0] == 404
    assert run.ask("PATCH", "/settings/fusion", {"gamma": 1.0}, token=False)[0] == 401
    assert run.ask("PATCH", "/settings/fusion", {"gamma": 1.0}, **{"If-Match": f'"{revision - 1}"'})[0] == 412
    assert run.ask("GET", "/settings")[1]["revision"] == revision

    run.ask("PATCH", "/settings/fusion", {"gamma": 0.8, "network_lines": 0, "motion": "full"})
    run.ask("PATCH", "/settings/fusion", {"network_lines": 90})
    status, saved = run.ask("POST", "/settings/save")
    assert (status, saved["overridden"]) == (200, ["fusion.motion"])  # a flag says otherwise
    text = file.read_text()
    assert text.startswith("# mine")
    assert "gamma = 0.8 # kept" in text
    assert 'motion = "full"' in text
    run.ask("PATCH", "/settings/fusion", {"gamma": 2.0})
    assert run.ask("POST", "/settings/revert")[1]["values"]["fusion"]["gamma"] == 0.8
    settings = run.ask("GET", "/settings")[1]
    assert (settings["values"]["fusion"]["motion"], settings["changed"]) == ("off", [])
    entries = [json.loads(line) for line in (run.folder / "state/livemef/changes.jsonl").read_text().splitlines()]  # type: ignore[attr-defined]
    assert {"status", "who", "did", "revision", "changed", "time"} == entries[-1].keys()


def test_events_are_sent_to_all_and_again_to_who_was_away(run: Controlled) -> None:
    def events(last: str | None, until: str) -> list[tuple[str, str, Any]]:
        headers = {} if last is None else {"Last-Event-ID": last}
        url = f"http://127.0.0.1:{run.page}/api/v1/events"
        found: list[tuple[str, str, Any]] = []
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            fields: dict[str, str] = {}
            for line in answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif fields:
                    found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                    fields = {}
                    if found[-1][1] == until:
                        return found
        raise AssertionError(found)

    ((begin, _, hello),) = events(None, "hello")
    assert hello["revision"] == run.ask("GET", "/settings")[1]["revision"]
    run.ask("PATCH", "/settings/publish", {"codec": "jpeg"}, **{"Livemef-Client": "tests"})
    missed = [data for _, event, data in events(begin, "settings") if event == "settings"]
    assert missed == [
        {
            "revision": hello["revision"] + 1,
            "who": "tests at 127.0.0.1",
            "changed": {"publish.codec": "jpeg"},
            "action": "set",
        }
    ]
    with Subscriber(f"sub+connect:{run.pipeline.endpoint}", shared_memory=False) as subscriber:
        assert header_when(subscriber, lambda header: header.codec == "jpeg")
    assert events("nonsense-99", "hello")


def test_auto_and_hold(run: Controlled) -> None:
    assert run.ask("POST", "/exposures/auto")[0] == 200
    status, held = run.ask("POST", "/exposures/hold")
    assert status == 200
    assert held["values"]["capture"]["exposures"].count("us@") == 2
    assert run.ask("PATCH", "/settings/capture", {"exposures": "1ms,4ms,16ms"})[0] == 200
    with Subscriber(f"sub+connect:{run.pipeline.endpoint}") as subscriber:
        header_when(subscriber, lambda header: len(header.sources) == 3)
    assert run.ask("GET", "/status")[1]["role"] == "control"
    assert run.ask("GET", "/status", token=False)[1]["role"] == "view"
    assert len(run.ask("GET", "/status")[1]["plan"]) == 3


def ctl(run: Controlled, *words: str, code: int = 0, **environment: str) -> str:
    runs: Path = run.runs  # type: ignore[attr-defined]
    done = subprocess.run(
        [sys.executable, "-m", "livemef", "ctl", *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runs), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == (code != 0), done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_same_from_a_shell_and_a_program(run: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ctl(run, "set", "fusion.gamma=1.5", "capture.exposures=1ms,8ms").startswith("revision ")
    assert ctl(run, "get", "fusion.gamma") == "1.5\n"
    assert "whole number" in ctl(run, "set", "fusion.network_lines=many", code=2)
    page = f"http://127.0.0.1:{run.page}"
    assert ctl(run, "page") == f"{page}/?token={run.token}\n"
    assert "control token" in ctl(run, "set", "fusion.gamma=1", "--at", page, code=2)
    still = Path(run.folder) / "still.png"  # type: ignore[attr-defined]
    assert ctl(run, "still", "-o", str(still)) == f"{still}\n"
    assert livemef.read_picture(still).dtype == np.uint16
    assert ctl(run, "set", "fusion.gamma=1", "--at", page, LIVEMEF_CONTROL_TOKEN=run.token)

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run.runs))  # type: ignore[attr-defined]
    with livemef.control() as here, livemef.control(page, token=run.token) as there:
        revision = here.set(gamma=0.6)
        with Subscriber(f"sub+connect:{run.pipeline.endpoint}") as subscriber:
            assert header_when(subscriber, lambda header: header.settings_rev >= revision).fusion["gamma"] == 0.6
        there.set({"fusion.gamma": 0.9})
        assert here.settings["fusion.gamma"] == 0.9
        assert here.status["role"] == there.status["role"] == "control"
        with pytest.raises(livemef.ControlError, match="no setting") as caught:
            here.set(model="x")
        assert caught.value.status == 422
        with pytest.raises(livemef.ControlError) as caught:
            here.set({"capture.camera": "x"})
        assert caught.value.errors[0]["key"] == "capture.camera"


def done(run: Controlled, path: str, state: str) -> Any:
    end = time.monotonic() + 60
    while (found := run.ask("GET", path)[1])["state"] != state:
        assert found["state"] != "failed", found
        assert time.monotonic() < end, found
        time.sleep(0.2)
    return found


def test_a_still_is_the_bracket_fused_at_full_resolution_in_16_bits(run: Controlled) -> None:
    status, still = run.ask("POST", "/stills", {"format": "png16"})
    assert (status, still["state"]) == (202, "taking")
    assert run.ask("POST", "/stills", {"format": "gif"})[0] == 422
    found = done(run, f"/stills/{still['id']}", "done")
    assert "folder" not in run.ask("GET", "/stills", token=False)[1]["stills"][0]
    url = f"http://127.0.0.1:{run.page}/api/v1/stills/{still['id']}"
    with urllib.request.urlopen(f"{url}/{found['files'][0]}", timeout=30) as answer:
        file = answer.read()
    picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (picture.shape, picture.dtype) == ((240, 320, 3), np.uint16)
    assert len(np.unique(picture)) > 5000  # more than 8 bits can hold
    for name in ("still-2.png", "..%2F..%2Flivemef.toml", "%2Fetc%2Fpasswd"):
        assert run.ask("GET", f"/stills/{still['id']}/{name}")[0] == 404


@pytest.mark.full
def test_a_recording_goes_on_beside_the_pictures_and_can_be_replayed(run: Controlled) -> None:
    assert run.ask("GET", "/recording")[0] == 404
    for name in ("../x", "", "a" * 65, "a/b", "a\n"):
        assert run.ask("PUT", "/recording", {"name": name})[0] == 422
    status, begun = run.ask("PUT", "/recording", {"name": "first"})
    assert (status, begun["state"]) == (201, "recording")
    assert run.ask("PUT", "/recording", {"name": "second"})[0] == 409
    end = time.monotonic() + 60
    while run.ask("GET", "/recording")[1]["brackets"] < 5:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert run.ask("DELETE", "/recording")[0] == 202
    found = done(run, "/recording", "done")
    brackets = list(livemef.read_recording(found["folder"]))
    assert len(brackets) == found["brackets"] >= 5
    assert all(bracket.pixels[0].shape == (240, 320, 3) for bracket in brackets)
    assert run.ask("DELETE", "/recording")[0] == 409
    assert run.ask("PUT", "/recording", {"name": "first"})[0] == 409  # nothing is overwritten
    run.ask("PUT", "/recording", {"name": "third", "brackets": 3})
    assert done(run, "/recording", "done")["brackets"] == 3


def test_whatever_is_sent_to_the_socket_the_gate_answers_others(run: Controlled) -> None:
    (found,) = local_runs(run.runs)  # type: ignore[attr-defined]
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(found.control)
    rng = random.Random(3)
    for _ in range(300):
        parts = [rng.randbytes(rng.randrange(40)) for _ in range(rng.randrange(1, 6))]
        if rng.random() < 0.7:
            parts[0] = b"livemef1"
        socket.send_multipart(parts)
    for body in (b"[]", b"{}", b'{"method":1,"path":2}', b'{"method":"GET","path":"/../x"}', b"[" * 50000, b"\xff"):
        socket.send_multipart([b"livemef1", b"last", body])
    statuses = []
    while len(statuses) < 6 and socket.poll(30_000):
        parts = socket.recv_multipart()
        if parts[1] == b"last":
            statuses.append(json.loads(parts[2])["status"])
    context.destroy(linger=0)
    assert sorted(statuses) == [404, 422, 422, 422, 422, 422]
    with livemef.control(found.control) as control:
        assert control.status["control"]


def test_ctrl_c_still_leaves_nothing(run: Controlled) -> None:
    children = list(run.pipeline.children().values())
    run.pipeline.process.send_signal(signal.SIGINT)
    assert run.pipeline.process.wait(30) == 0
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]
