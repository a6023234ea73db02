"""Subscribers that send what no subscriber of ours would: spoken in plain ZMTP, as somebody else's program can."""

import resource
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from livemef.fusion.errors import FusionError
from livemef.fusion.memory_guard import SETTLING_S, MemoryGuard, private_memory
from livemef.fusion.stream.publisher import TOPICS, Publisher
from livemef.fusion.stream.subscriber import Subscriber
from tests.fusion.stream.stream_samples import flat, header, ramp

MORE, LONG, COMMAND = 1, 2, 4
MIB = 1 << 20


@pytest.fixture
def publisher():
    with Publisher("pub+bind:tcp://127.0.0.1:0") as publisher:
        yield publisher


@contextmanager
def zmtp_subscriber(publisher):
    """A connection that has greeted as SUB (ZMTP 3.0, RFC 23)."""
    host, port = publisher.address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
        greeting = b""
        while len(greeting) < 64:
            greeting += peer.recv(64 - len(greeting))
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 3) + b"SUB"
        peer.sendall(frame(ready, COMMAND))
        peer.recv(256)
        yield peer


def frame(body, flags=0):
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body


def is_cut_off(peer):
    peer.settimeout(20)
    try:
        while peer.recv(1 << 16):
            pass
    except (ConnectionError, BrokenPipeError):
        return True
    return True  # an orderly end; a time-out is raised


def exchange(publisher, sub, first, count):
    for seq in range(first, first + count):
        assert publisher.publish("fused", header(seq), flat((seq % 256, 0, 0), 48, 64))
        assert sub.receive(30).header.seq == seq


def until(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.005)


def test_a_large_subscription_ends_the_connection(publisher):
    before = private_memory()
    with zmtp_subscriber(publisher) as peer:
        with suppress(ConnectionError):
            for number in range(60):
                peer.sendall(frame(b"\x01" + bytes([number]) * MIB))
        assert is_cut_off(peer)
    publisher.wanted("fused")
    assert publisher._subscribed == set()
    assert private_memory() - before < 40 * MIB


def test_a_frame_of_three_gigabytes_is_never_received(publisher):
    before = private_memory()
    with zmtp_subscriber(publisher) as peer:
        peer.sendall(bytes([LONG]) + struct.pack(">Q", 3 << 30) + bytes(1000))
        assert is_cut_off(peer)
    assert private_memory() - before < 40 * MIB


@pytest.mark.full
def test_a_hundred_thousand_subscriptions_take_nothing_from_others(publisher):
    source = f"sub+connect:{publisher.address}"
    with Subscriber(source, shared_memory=False) as sub, zmtp_subscriber(publisher) as peer:
        until(lambda: publisher.wanted("fused"))
        flood = b"".join(frame(b"\x01exposure/0/%d" % number) for number in range(100_000))
        sending = threading.Thread(target=peer.sendall, args=(flood,), daemon=True)
        sending.start()
        seq = 0
        while sending.is_alive():
            exchange(publisher, sub, seq, 10)
            seq += 10
        exchange(publisher, sub, seq, 50)
        assert sub.counter.gaps == 0
        assert publisher._subscribed == {b"fused"}
        peer.sendall(frame(b"\x01status"))  # what is known is heard behind the flood
        until(lambda: publisher.wanted("status"), 30)
    assert sum(map(len, publisher._subscribed)) < 100


def test_every_prefix_of_a_known_topic_counts_and_nothing_else(publisher):
    for topic in (b"fused", b"exposure/63", b"exposure/", b"exp", b"", b"motion", b"status"):
        assert publisher._may_match(topic)
    for topic in (b"fused/", b"exposure/64", b"exposure/0/1", b"x", b"\x00", b"fusee"):
        assert not publisher._may_match(topic)
    assert len({topic[:length] for topic in TOPICS for length in range(12)}) < 200


def test_a_message_of_endless_parts_ends_the_process_before_the_machine(publisher):
    """ZeroMQ keeps the parts until the last one comes; only the process can be ended."""
    guard = MemoryGuard(growth=48 * MIB, ceiling=1 << 40)
    guard.check(0.0, private_memory(), publisher.buffer_bytes)
    with pytest.raises(FusionError, match="memory grew"):
        send_endless_parts(publisher, guard)


def send_endless_parts(publisher, guard):
    part = frame(b"x" * 1000, MORE) * 1000
    with zmtp_subscriber(publisher) as peer:
        for number in range(400):
            with suppress(ConnectionError):
                peer.sendall(part)
            publisher.publish("fused", header(number), ramp())
            guard.check(SETTLING_S + number, private_memory(), publisher.buffer_bytes)


def test_the_guard_learns_what_is_needed_and_leaves_buffers_out():
    guard = MemoryGuard(growth=100, ceiling=10_000)
    guard.check(0.0, 50, 0)
    guard.check(SETTLING_S - 1, 1000, 0)
    guard.check(SETTLING_S + 1, 1100, 0)
    guard.check(SETTLING_S + 2, 5000, 4000)
    with pytest.raises(FusionError):
        guard.check(SETTLING_S + 3, 1101, 0)
    with pytest.raises(FusionError):
        MemoryGuard(growth=100, ceiling=1000).check(0.0, 1001, 0)


def test_the_guard_is_not_asked_more_often_than_it_must_be():
    guard = MemoryGuard(growth=1, ceiling=1 << 40)
    assert guard.due(5.0)
    guard.check(5.0, 1, 0)
    assert not guard.due(5.01)
    assert guard.due(5.2)


def test_memory_is_known_where_no_other_file_can_be_opened():
    """A thousand connections of peers use up the files of a process: its pictures must go on."""
    before = private_memory()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        assert private_memory() >= before // 2
        with pytest.raises(OSError, match="Too many open files"):
            open("/proc/self/statm")  # noqa: SIM115
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
