"""Control over tcp with keys: who gets in, who may change something, and what strangers achieve. Real sockets."""

import asyncio
import contextlib
import json
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from livemef.fusion.errors import FusionError
from livemef.fusion.stream.control import Control, control
from livemef.fusion.stream.control_doors import ControlError, ZeroMqDoor
from livemef.fusion.stream.keys import KeyFolder
from livemef.tools.config.schema import Config
from livemef.tools.preview.api import ROUTES, Api
from livemef.tools.preview.field_api import FIELD_ROUTES
from livemef.tools.preview.gate_link import GateLink
from livemef.tools.preview.router_door import RouterDoor, control_endpoint
from livemef.tools.run.live_state import LiveState
from tests.fusion.stream.stream_samples import new_keys
from tests.tools.preview.test_control_api import Line

LIMIT_S = 30.0


class Served:
    """A door in a thread. asked: what has reached the supervisor."""

    def __init__(self, keys: KeyFolder, tmp_path: Path) -> None:
        self.keys, self.folder, self.line = keys, tmp_path, Line()
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        link = self.line.link = GateLink(self.line)  # type: ignore[arg-type]
        link.settings = LiveState(Config()).snapshot()
        still = {"id": "one", "state": "done", "files": ["still-1.png"], "folder": str(self.folder)}
        link.status = {"stills": [still], "recording": None}
        self.door = RouterDoor(Api(link, more_routes=FIELD_ROUTES), control_endpoint("tcp://0.0.0.0:*"), self.keys)
        self.door.start()
        self._ready.set()
        while not self._over.is_set():
            await asyncio.sleep(0.02)
        await self.door.close()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.door.address.rsplit(':', 1)[1]}"

    def close(self) -> None:
        self._over.set()
        self._thread.join(10)


@pytest.fixture
def camera(tmp_path: Path) -> KeyFolder:
    return new_keys(tmp_path, "camera")


@pytest.fixture
def laptop(tmp_path: Path, camera: KeyFolder) -> KeyFolder:
    keys = new_keys(tmp_path, "laptop")
    keys.trust("127.0.0.1", camera.own().public)  # type: ignore[union-attr]
    return keys


@pytest.fixture
def served(camera: KeyFolder, tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "still-1.png").write_bytes(b"picture" * 1000)
    (tmp_path / "other.png").write_bytes(b"no still")
    served = Served(camera, tmp_path)
    yield served
    served.close()


@contextlib.contextmanager
def opened(served: Served, keys: KeyFolder, limit_s: float = LIMIT_S) -> Iterator[Control]:
    with Control(ZeroMqDoor(served.address, keys), limit_s) as control:
        yield control


def public(keys: KeyFolder) -> Any:
    own = keys.own()
    assert own is not None
    return own.public


def test_a_key_that_may_control_does_and_one_that_may_receive_only_looks(served, camera, laptop) -> None:
    camera.allow(public(laptop))
    with opened(served, laptop) as looking:
        assert looking.status["role"] == "view"
        assert looking.status["encrypted"] is True
        with pytest.raises(ControlError, match="--may-control") as caught:
            looking.set({"fusion.gamma": 0.8})
        assert caught.value.status == 403
        assert served.line.asked == []
        camera.allow(public(laptop), may_control=True)  # takes effect at once, on the open connection too
        assert looking.set({"fusion.gamma": 0.8}) == 2
        assert looking.status["role"] == "control"
    assert [one["do"] for one in served.line.asked] == ["change"]
    assert served.line.asked[0]["who"] == "python with key laptop"
    assert len(camera.grants()) == 1


def test_every_route_that_changes_something_needs_a_key_that_may_control(served, camera, laptop) -> None:
    camera.allow(public(laptop))
    with opened(served, laptop) as looking:
        for route in (*ROUTES, *FIELD_ROUTES):
            path = re.sub(r"\{\w+\}", "x", route.path.replace("{table}", "runtime"))
            body = {"wait_s": 0} if path == "/events" else {}
            status, _ = looking._door.ask(route.method, path, body, LIMIT_S)
            assert (status == 403) == (route.role == "control"), route
    assert served.line.asked == []


def test_a_key_that_was_taken_back_does_nothing_more_on_its_open_connection(served, camera, laptop) -> None:
    camera.allow(public(laptop), may_control=True)
    with opened(served, laptop) as control:
        control.auto()
        camera.forbid("laptop")
        for ask in (control.auto, lambda: control.status):
            with pytest.raises(ControlError, match="taken back"):
                ask()
    assert len(served.line.asked) == 1


def test_nobody_else_gets_in(served, camera, laptop, tmp_path) -> None:
    with opened(served, laptop) as unknown, pytest.raises(ControlError, match=r"keys allow .* --may-control") as caught:
        unknown.auto()
    assert caught.value.status == 401
    stranger = KeyFolder(tmp_path / "stranger")
    with pytest.raises(ControlError, match="livemef keys trust 127"), opened(served, stranger):
        pass
    stranger.trust("127.0.0.1", public(camera))
    with pytest.raises(ControlError, match="this machine has none"), opened(served, stranger):
        pass
    camera.allow(public(laptop), may_control=True)
    laptop.trust("127.0.0.1", public(laptop))  # another machine says it were the camera
    with opened(served, laptop) as deceived, pytest.raises(ControlError, match="not the one that is trusted"):
        deceived.auto()
    plain = zmq.Context()
    socket = plain.socket(zmq.DEALER)
    socket.connect(served.address)
    socket.send_multipart([b"livemef1", b"1", b'{"method": "POST", "path": "/exposures/auto"}'])
    assert not socket.poll(700)
    plain.destroy(linger=0)
    assert served.line.asked == []


@pytest.mark.parametrize("damage", ["stopped", "list"])
def test_a_stopped_authenticator_or_a_damaged_list_lets_nobody_in(served, camera, laptop, damage) -> None:
    camera.allow(public(laptop), may_control=True)
    if damage == "stopped":
        served.door._curve.close()
    else:
        (camera.folder / "authorized_keys").write_text("everybody, please\n")
    with opened(served, laptop, 1.5) as control, pytest.raises(ControlError):
        control.auto()
    assert served.line.asked == []


def test_a_still_s_file_comes_over_the_wire_and_no_other_file(served, camera, laptop) -> None:
    camera.allow(public(laptop))
    with opened(served, laptop) as control:
        still = control.ask("GET", "/stills/one")
        assert "folder" not in still
        assert control._door.file(still, "still-1.png", LIMIT_S) == b"picture" * 1000
        for name in ("other.png", "..", "camera/id.key"):
            with pytest.raises(ControlError, match="cannot be had"):
                control._door.file(still, name, LIMIT_S)
        (served.folder / "still-1.png").unlink()
        with pytest.raises(ControlError, match="cannot be had"):
            control._door.file(still, "still-1.png", LIMIT_S)


def test_whatever_an_allowed_key_sends_others_are_answered(served, camera, laptop) -> None:
    camera.allow(public(laptop), may_control=True)
    own, rng, context = laptop.own(), random.Random(5), zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.curve_serverkey = public(camera).key
    socket.curve_publickey, socket.curve_secretkey = own.public.key, own.secret
    socket.connect(served.address)
    for _ in range(400):
        parts = [rng.randbytes(rng.randrange(60)) for _ in range(rng.randrange(1, 6))]
        if rng.random() < 0.7:
            parts[0] = b"livemef1"
        socket.send_multipart(parts)
    for body in (b"[]", b'{"method":1,"path":2}', b'{"method":"GET","path":"/../x"}', b"[" * 50000, b"\xff"):
        socket.send_multipart([b"livemef1", b"last", body])
    statuses = []
    while len(statuses) < 5 and socket.poll(30_000):
        parts = socket.recv_multipart()
        if parts[1] == b"last":
            statuses.append(json.loads(parts[2])["status"])
    socket.send(bytes(1 << 20))  # too large: ends its connection
    context.destroy(linger=0)
    assert sorted(statuses) == [404, 422, 422, 422, 422]
    assert served.line.asked == []
    with opened(served, laptop) as control:
        assert control.status["control"]


def test_without_a_key_of_its_own_it_does_not_start(tmp_path) -> None:
    none = KeyFolder(tmp_path / "none")

    async def start(endpoint: str) -> None:
        RouterDoor(Api(GateLink(None)), control_endpoint(endpoint), none)

    for endpoint in ("tcp://0.0.0.0:*", "tcp://127.0.0.1:*"):
        with pytest.raises(FusionError, match="livemef keys new"):
            asyncio.run(start(endpoint))
    for endpoint in ("ipc:///tmp/x", "pub+connect:tcp://127.0.0.1:1", "sub:tcp://127.0.0.1:1"):
        with pytest.raises(FusionError):
            control_endpoint(endpoint)


def test_addresses_of_control(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for address, says in (("tcp://camera.local", "HOST:PORT"), ("tcp://camera.local:1", "keys trust camera.local")):
        with pytest.raises(ControlError, match=says):
            control(address)
