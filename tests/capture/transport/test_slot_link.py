import os
import uuid
from collections.abc import Iterator

import pytest

from livemef.capture.errors import CaptureError
from livemef.capture.transport.slot_link import LinkClient, LinkServer


@pytest.fixture
def ring_fd() -> Iterator[int]:
    fd = os.memfd_create("test")
    os.write(fd, b"pixels")
    yield fd
    os.close(fd)


@pytest.fixture
def name() -> str:
    return f"livemef-test-{uuid.uuid4().hex}"


def connected(server: LinkServer, name: str) -> LinkClient:
    import threading

    clients: list[LinkClient | None] = []
    thread = threading.Thread(target=lambda: clients.append(LinkClient.connect(name, 5.0)))
    thread.start()
    while not server.accept():
        pass
    thread.join()
    assert clients[0] is not None
    return clients[0]


def test_greeting_ring_and_messages_arrive(name: str, ring_fd: int) -> None:
    server = LinkServer(name, {"slots": 4}, ring_fd)
    client = connected(server, name)
    assert client.greeting == {"slots": 4}
    assert os.pread(client.ring_fd, 6, 0) == b"pixels"
    assert server.send({"slot": 1})
    assert client.receive(1.0) == {"slot": 1}
    assert client.receive(0.01) is None
    client.send({"release": [1]})
    assert server.receive() == [{"release": [1]}]
    server.close()
    with pytest.raises(ConnectionError):
        client.receive(1.0)
    client.close()
    os.close(client.ring_fd)


def test_nobody_there(name: str, ring_fd: int) -> None:
    assert LinkClient.connect(name, 0.05) is None
    server = LinkServer(name, {}, ring_fd)
    assert not server.accept()
    assert not server.send({"slot": 1})
    server.close()


def test_a_new_consumer_replaces_a_dead_one(name: str, ring_fd: int) -> None:
    server = LinkServer(name, {}, ring_fd)
    first = connected(server, name)
    first.close()
    os.close(first.ring_fd)
    assert server.receive() == []
    assert not server.connected
    second = connected(server, name)
    assert server.send({"slot": 2})
    assert second.receive(1.0) == {"slot": 2}
    second.close()
    os.close(second.ring_fd)
    server.close()


def test_a_full_peer_never_blocks_the_producer(name: str, ring_fd: int) -> None:
    server = LinkServer(name, {}, ring_fd)
    client = connected(server, name)
    sent = 0
    while server.send({"slot": sent}):
        sent += 1
        assert sent < 100_000
    assert server.connected
    assert client.receive(1.0) == {"slot": 0}
    client.close()
    os.close(client.ring_fd)
    server.close()


def test_a_taken_name_is_an_error_in_one_line(name: str, ring_fd: int) -> None:
    server = LinkServer(name, {}, ring_fd)
    with pytest.raises(CaptureError, match="cannot listen"):
        LinkServer(name, {}, ring_fd)
    server.close()
