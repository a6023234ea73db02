import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from livemef.capture.transport.slot_link import Caller, LinkClient, LinkServer, meeting_point


@pytest.fixture
def ring_fd() -> Iterator[int]:
    fd = os.memfd_create("test")
    os.write(fd, b"pixels")
    yield fd
    os.close(fd)


@pytest.fixture
def point() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = meeting_point()
    yield ends
    for end in ends:
        end.close()


Ends = tuple[socket.socket, socket.socket]


def connected(server: LinkServer, caller: Caller) -> LinkClient:
    clients: list[LinkClient | None] = []
    thread = threading.Thread(target=lambda: clients.append(caller.connect(5.0)))
    thread.start()
    while not server.accept():
        pass
    thread.join()
    assert clients[0] is not None
    return clients[0]


def closed(client: LinkClient) -> None:
    client.close()
    os.close(client.ring_fd)


def test_greeting_ring_and_messages_arrive(point: Ends, ring_fd: int) -> None:
    server = LinkServer(point[0], {"slots": 4}, ring_fd)
    client = connected(server, Caller(point[1]))
    assert client.greeting == {"slots": 4}
    assert os.pread(client.ring_fd, 6, 0) == b"pixels"
    assert not os.get_inheritable(client.ring_fd)
    assert server.send({"slot": 1})
    assert client.receive() == {"slot": 1}
    assert client.receive() is None
    client.send({"release": [1]})
    assert server.receive() == [{"release": [1]}]
    server.close()
    with pytest.raises(ConnectionError):
        client.receive()
    closed(client)


def test_nobody_there(point: Ends, ring_fd: int) -> None:
    caller = Caller(point[1])
    assert caller.connect(0.05) is None
    server = LinkServer(point[0], {}, ring_fd)
    assert not server.send({"slot": 1})
    caller.close()
    assert not server.accept()  # the request was given up
    server.close()


def test_a_request_waits_for_the_next_capture_process(point: Ends, ring_fd: int) -> None:
    caller = Caller(point[1])
    assert caller.connect(0.01) is None
    server = LinkServer(point[0], {"slots": 7}, ring_fd)
    assert server.accept()
    client = caller.connect(1.0)
    assert client is not None
    assert client.greeting == {"slots": 7}
    closed(client)


@pytest.mark.full
def test_any_number_of_requests_that_nobody_took_up_do_not_stand_in_the_way(point: Ends, ring_fd: int) -> None:
    for _ in range(400):  # fusion processes that died while capture was down
        caller = Caller(point[1])
        caller.connect(0.0)
        caller.close()
    server = LinkServer(point[0], {}, ring_fd)
    client = connected(server, Caller(point[1]))
    assert server.send({"slot": 3})
    assert client.receive() == {"slot": 3}
    closed(client)


def test_a_capture_process_that_died_before_it_answered_is_asked_again(point: Ends, ring_fd: int) -> None:
    caller = Caller(point[1])
    assert caller.connect(0.01) is None
    dying = LinkServer(point[0], {}, ring_fd)
    taken = dying._next_caller()
    assert taken is not None
    taken.close()
    client = connected(LinkServer(point[0], {}, ring_fd), caller)
    closed(client)


def test_a_new_consumer_replaces_a_dead_one(point: Ends, ring_fd: int) -> None:
    server = LinkServer(point[0], {}, ring_fd)
    first = connected(server, Caller(point[1]))
    closed(first)
    assert server.receive() == []
    assert not server.connected
    second = connected(server, Caller(point[1]))
    assert server.send({"slot": 2})
    assert second.receive() == {"slot": 2}
    closed(second)
    server.close()


def test_a_full_peer_never_blocks_the_producer(point: Ends, ring_fd: int) -> None:
    server = LinkServer(point[0], {}, ring_fd)
    client = connected(server, Caller(point[1]))
    sent = 0
    while server.send({"slot": sent}):
        sent += 1
        assert sent < 100_000
    assert server.connected
    assert client.receive() == {"slot": 0}
    closed(client)
    server.close()


def test_nothing_of_it_has_a_name(point: Ends, ring_fd: int) -> None:
    """No other process can connect, bind in its place, or find it."""
    server = LinkServer(point[0], {}, ring_fd)
    client = connected(server, Caller(point[1]))
    table = Path("/proc/net/unix").read_text().splitlines()[1:]
    named = {line.split()[6] for line in table if len(line.split()) > 7}
    for end in (*point, client._peer):
        assert str(os.fstat(end.fileno()).st_ino) not in named
    closed(client)
    server.close()
