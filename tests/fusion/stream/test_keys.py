"""Keys on disk, and who is let in: real sockets over tcp."""

import socket
import stat
import time
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.errors import FusionError
from livemef.fusion.stream.endpoint import parse_endpoint
from livemef.fusion.stream.keys import KeyFolder, decode_key, encode_key, parse_public
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.security import is_local
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from tests.fusion.stream.stream_samples import header, new_keys, ramp

LIMIT_S = 20.0


@pytest.fixture
def camera(tmp_path: Path) -> KeyFolder:
    return new_keys(tmp_path, "camera")


@pytest.fixture
def laptop(tmp_path: Path) -> KeyFolder:
    return new_keys(tmp_path, "laptop")


@pytest.fixture
def publisher(camera: KeyFolder):
    # 0.0.0.0 can be reached from elsewhere; the tests themselves come by way of loopback
    with Publisher("pub+bind:tcp://0.0.0.0:*", keys=camera) as opened:
        yield opened


def endpoint(publisher: Publisher) -> str:
    return f"sub+connect:tcp://127.0.0.1:{publisher.address.rsplit(':', 1)[1]}"


def port(publisher: Publisher) -> str:
    return publisher.address.rsplit(":", 1)[1]


def gets(publisher: Publisher, subscriber: Subscriber, limit_s: float = LIMIT_S) -> bool:
    """Whether a published picture arrives within the limit."""
    deadline, number = time.monotonic() + limit_s, 0
    while time.monotonic() < deadline:
        publisher.publish("fused", header(seq=number), ramp("uint8"))
        number += 1
        if subscriber.poll(0.05):
            return True
    return False


@given(st.binary(min_size=32, max_size=32))
def test_a_key_as_text_is_the_key(key: bytes) -> None:
    text = encode_key(key)
    assert len(text) == 43
    assert decode_key(text) == key


@pytest.mark.parametrize(
    "text", ["", "livemef-key", "livemef-key x y", "ssh-ed25519 " + "A" * 43 + " a", "livemef-key " + "A" * 43 + " a b"]
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(FusionError, match="is no key"):
        parse_public(text)


def test_files_are_private_and_nothing_is_made_twice(camera: KeyFolder) -> None:
    assert stat.S_IMODE((camera.folder / "id.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(camera.folder.stat().st_mode) == 0o700
    with pytest.raises(FusionError, match="there already"):
        camera.create("again")
    (camera.folder / "id.key").chmod(0o644)
    with pytest.raises(FusionError, match="chmod 600"):
        camera.own()
    (camera.folder / "id.key").chmod(0o600)
    (camera.folder / "id.pub").write_text("nonsense")
    with pytest.raises(FusionError, match="damaged"):
        camera.own()


def test_allow_forbid_trust(camera: KeyFolder, laptop: KeyFolder) -> None:
    key = laptop.own().public
    camera.allow(key)
    camera.allow(key)
    assert camera.allowed() == [key]
    assert camera.forbid("laptop") == 1
    assert camera.allowed() == []
    laptop.trust("camera.local", camera.own().public)
    assert laptop.key_of("camera.local", "5556") == camera.own().public
    assert laptop.key_of("other.local", "5556") is None
    with pytest.raises(FusionError, match="no host"):
        laptop.trust("a b", key)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("pub+bind:tcp://127.0.0.1:1", True),
        ("pub+bind:tcp://127.3.2.1:1", True),
        ("pub+bind:tcp://[::1]:1", True),
        ("pub+bind:tcp://localhost:1", True),
        ("pub+bind:ipc:///x", True),
        ("pub+bind:tcp://0.0.0.0:1", False),
        ("pub+bind:tcp://*:1", False),
        ("pub+bind:tcp://192.168.1.2:1", False),
        ("pub+bind:tcp://[::]:1", False),
        ("pub+bind:tcp://eth0:1", False),
        ("pub+connect:tcp://elsewhere:1", False),
    ],
)
def test_what_only_this_machine_can_reach(text: str, local: bool) -> None:
    assert is_local(parse_endpoint(text, "pub")) is local


def test_off_loopback_there_are_keys_or_the_word_insecure(tmp_path: Path) -> None:
    none = KeyFolder(tmp_path / "none")
    with pytest.raises(FusionError, match=r"127\.0\.0\.1.*livemef keys new.*--insecure"):
        Publisher("pub+bind:tcp://0.0.0.0:*", keys=none)
    with pytest.raises(FusionError, match="imagezmq knows no keys"):
        Publisher("pub+bind:tcp://0.0.0.0:*", wire="imagezmq", keys=none)
    with Publisher("pub+bind:tcp://0.0.0.0:*", keys=none, insecure=True) as opened:
        assert opened.mechanism == "plain"
        with Subscriber(endpoint(opened), keys=none) as subscriber:
            assert gets(opened, subscriber)


def test_an_allowed_key_receives_and_takes_effect_at_once(publisher, camera, laptop) -> None:
    assert publisher.mechanism == "curve"
    laptop.trust(f"127.0.0.1:{port(publisher)}", camera.own().public)
    with Subscriber(endpoint(publisher), keys=laptop) as early:
        assert not gets(publisher, early, 1.0)
        with pytest.raises(ReceiveTimeout, match=r"livemef keys allow 'livemef-key .* laptop'"):
            early.receive(0.5)
    camera.allow(laptop.own().public)
    with Subscriber(endpoint(publisher), keys=laptop) as subscriber:
        assert gets(publisher, subscriber)


def test_without_keys_or_with_a_wrong_one_nothing_comes(publisher, camera, laptop, tmp_path) -> None:
    camera.allow(laptop.own().public)
    with Subscriber(endpoint(publisher), keys=KeyFolder(tmp_path / "none")) as plain:
        assert not gets(publisher, plain, 1.5)
        with pytest.raises(ReceiveTimeout, match="it uses keys"):
            plain.receive(0.5)
    laptop.trust("127.0.0.1", laptop.own().public)  # not the publisher's
    with Subscriber(endpoint(publisher), keys=laptop) as wrong:
        assert not gets(publisher, wrong, 1.5)
    stranger = KeyFolder(tmp_path / "stranger")
    stranger.trust("127.0.0.1", camera.own().public)
    with pytest.raises(FusionError, match="this machine has none"):
        Subscriber(endpoint(publisher), keys=stranger)


def test_a_stopped_authenticator_lets_nobody_in(publisher, camera, laptop) -> None:
    camera.allow(laptop.own().public)
    laptop.trust("127.0.0.1", camera.own().public)
    publisher._security.close()
    with Subscriber(endpoint(publisher), keys=laptop) as subscriber:
        assert not gets(publisher, subscriber, 1.5)


def test_a_damaged_allow_list_lets_nobody_in(publisher, camera, laptop) -> None:
    camera.allow(laptop.own().public)
    (camera.folder / "authorized_keys").write_text("everybody, please\n")
    laptop.trust("127.0.0.1", camera.own().public)
    with Subscriber(endpoint(publisher), keys=laptop) as subscriber:
        assert not gets(publisher, subscriber, 1.5)


def test_a_foreign_client_with_plain_zeromq_and_the_keys_receives(publisher, camera, laptop) -> None:
    camera.allow(laptop.own().public)
    own, server = laptop.own(), camera.own().public
    context = zmq.Context()
    foreign = context.socket(zmq.SUB)
    foreign.curve_serverkey, foreign.curve_publickey, foreign.curve_secretkey = server.key, own.public.key, own.secret
    foreign.subscribe("fused")
    foreign.connect(f"tcp://127.0.0.1:{port(publisher)}")
    deadline, number, got = time.monotonic() + LIMIT_S, 0, 0
    while time.monotonic() < deadline and not got:
        publisher.publish("fused", header(seq=number), ramp("uint8"))
        number, got = number + 1, foreign.poll(50)
    assert got
    assert foreign.recv_multipart()[0] == b"fused"
    context.destroy(linger=0)


def test_what_goes_over_the_network_is_not_the_picture(publisher, camera, laptop) -> None:
    """A listener in between (a forwarding socket) sees no byte of the header."""
    camera.allow(laptop.own().public)
    seen = b""
    with socket.create_server(("127.0.0.1", 0)) as between:
        between.settimeout(LIMIT_S)
        laptop.trust("127.0.0.1", camera.own().public)
        with Subscriber(f"tcp://127.0.0.1:{between.getsockname()[1]}", keys=laptop) as subscriber:
            inner, _ = between.accept()
            outer = socket.create_connection(("127.0.0.1", int(port(publisher))))
            with inner, outer:
                for side in (inner, outer):
                    side.setblocking(False)
                deadline = time.monotonic() + LIMIT_S
                while not subscriber.poll(0) and time.monotonic() < deadline:
                    publisher.publish("fused", header(seq=1), ramp("uint8"))
                    for source, target in ((inner, outer), (outer, inner)):
                        try:
                            data = source.recv(1 << 16)
                        except BlockingIOError:
                            continue
                        seen += data if source is outer else b""
                        target.setblocking(True)
                        target.sendall(data)
                        target.setblocking(False)
                    time.sleep(0.002)
                assert subscriber.poll(0)
    assert len(seen) > 500
    assert b"requested" not in seen
    assert b"fused" not in seen
