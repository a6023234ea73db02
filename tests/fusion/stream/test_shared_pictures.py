"""Pictures through shared memory: both sides, slow readers, ends of either side, hostile notes."""

import contextlib
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.fusion.stream.kept_memory import KeptMemory
from livemef.fusion.stream.picture_ring import SLOTS, PictureRing
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.shared_topics import Segment, read_note
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from livemef.fusion.stream.wire import WireError, encode
from tests.fusion.stream.stream_samples import flat, header, ramp
from tests.fusion.stream.test_publisher import until

PAGE = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()
READER = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "mmap" in code)


@pytest.fixture
def place(tmp_path):
    return f"ipc://{tmp_path}/s"


def switched(publisher, subscriber, seq=0, topic="fused"):
    """Exchange pictures until they come by shared memory alone. Returns the next number."""
    while not publisher.wanted(topic) or publisher._listened(topic):  # `wanted` reads what was asked for
        if publisher.publish(topic, header(seq), flat((seq % 251, 0, 0))):
            assert subscriber.receive(30).header.seq == seq
            seq += 1
    return seq


def put(ring, value, size):
    note = read_note(ring.put(np.full(size, value, np.uint8).data))
    ring.prepare()
    return note


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_printed_reader_reads(tmp_path, place, dtype):
    """It shares no code with livemef."""
    assert "livemef" not in READER
    (tmp_path / "reader.py").write_text(READER)
    with Publisher(place) as publisher:
        command = [sys.executable, "-I", str(tmp_path / "reader.py"), publisher.address]
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            until(lambda: publisher.wanted("fused") or reader.poll() is not None, 30)
            found, wanted = [], []
            for seq in range(2 * SLOTS):
                picture = ramp(dtype, 30 + seq // 8, 50)  # another size on the way: another segment
                picture[0, 0] = seq
                assert publisher.publish("fused", header(seq), picture)
                found.append(reader.stdout.readline())
                wanted.append(f"{seq} {picture.shape} {picture.dtype} {picture.sum(dtype=np.uint64)}\n")
        finally:
            reader.kill()
            _, err = reader.communicate()
    assert found == wanted, err


@pytest.mark.parametrize("topic", ["fused", "exposure/1"])
@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_subscriber_uses_it_by_itself_and_the_socket_carries_nothing_more(place, topic, codec):
    picture = ramp(np.uint8, 60, 80)
    with Publisher(place, codec) as publisher, Subscriber(place, [topic]) as sub:
        seq = switched(publisher, sub, topic=topic)
        for number in range(seq, seq + 3 * SLOTS):
            assert publisher.publish(topic, header(number), picture)
            message = sub.receive(30)
            assert (message.topic, message.header.seq, message.header.codec) == (topic, number, "raw")
            np.testing.assert_array_equal(message.pixels, picture)
        assert (sub.counter.gaps, sub.counter.restarts) == (0, 0)


def test_a_picture_made_in_the_room_is_not_copied_again(place):
    with Publisher(place) as publisher, Subscriber(place) as sub:
        seq = switched(publisher, sub)
        seen = set()
        for number in range(seq, seq + SLOTS):
            room = publisher.room_for(flat((0, 0, 0)))
            room[:] = number
            seen.add(room.ctypes.data)
            ring = publisher._rings["fused"]
            ring._pixels[ring._slot].flags.writeable = False  # to copy it there would fail
            assert publisher.publish("fused", header(number), room)
            message = sub.receive(30)
            assert message.pixels.min() == message.pixels.max() == number
        assert len(seen) == SLOTS


def test_both_kinds_of_readers_get_the_same(place):
    with Publisher(place) as publisher, Subscriber(place) as near:
        seq = switched(publisher, near)
        with Subscriber(place, shared_memory=False) as far:
            until(lambda: publisher.wanted("fused") and publisher._listened("fused"))
            for number in range(seq, seq + 2 * SLOTS):
                room = publisher.room_for(flat((0, 0, 0)))
                room[:] = number
                publisher.publish("fused", header(number), room)
                for reader in (near, far):
                    message = reader.receive(30)
                    assert (message.header.seq, message.pixels.min(), message.pixels.max()) == (number,) * 3


def test_who_falls_behind_gets_later_pictures_and_none_that_is_torn(place):
    """It has a queue of notes whose pictures have been written over; they are passed over and count as missed."""
    with Publisher(place) as publisher, Subscriber(place) as sub:
        first, last = switched(publisher, sub), 3 * SLOTS + 100
        for number in range(first, last):
            publisher.publish("fused", header(number), flat((number, number, number)))
        got = []
        with contextlib.suppress(ReceiveTimeout):
            while True:
                message = sub.receive(0.5)
                assert message.pixels.min() == message.pixels.max() == message.header.seq
                got.append(message.header.seq)
        publisher.publish("fused", header(last), flat((9, 9, 9)))
        assert sub.receive(30).header.seq == last
        assert sub._topics.overtaken > 0
        assert sub.counter.gaps == last - first - len(got) > 0


@given(st.lists(st.integers(0, 30), max_size=40))
@settings(deadline=None, max_examples=50)
def test_a_copy_is_what_was_put_or_nothing(reads):
    """reads: after each put, how many puts ago the picture was put that is copied."""
    ring, notes = PictureRing(100), []
    segment = Segment(put(ring, 0, 100))
    for number, ago in enumerate(reads):
        notes.append(put(ring, number, 100))
        copied = segment.copy(notes[max(0, len(notes) - 1 - ago)], KeptMemory())
        assert (copied is not None) == (min(ago, len(notes) - 1) < SLOTS - 1)
        assert copied is None or (copied == max(0, number - ago)).all()
    ring.close()


def test_a_copy_beside_a_writer_is_whole_or_nothing():
    size, notes, ended = 1 << 20, [], threading.Event()
    ring = PictureRing(size)
    notes.append(put(ring, 0, size))
    segment, memory = Segment(notes[0]), KeptMemory()

    def write():
        for number in range(1, 1500):
            notes.append(put(ring, number % 251, size))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    whole = gone = 0
    while not ended.is_set():
        index = max(0, len(notes) - SLOTS + 1)  # the oldest that may still be there
        copied = segment.copy(notes[index], memory)
        whole, gone = whole + (copied is not None), gone + (copied is None)
        assert copied is None or (copied == index % 251).all()
    writer.join()
    assert gone
    assert whole + gone > 20
    ring.close()


PUBLISHES = """
import sys, time
from livemef.fusion.stream.publisher import Publisher
from tests.fusion.stream.stream_samples import flat, header
with Publisher(sys.argv[1]) as publisher:
    for seq in range(100_000):
        publisher.publish("fused", header(seq), flat((seq % 256,) * 3))
        time.sleep(0.01)
"""


def mapped_rings():
    """The inodes of shared pictures that this process has mapped: also other tests', while something refers to them."""
    gc.collect()
    return {line.split()[4] for line in Path("/proc/self/maps").read_text().splitlines() if "livemef-ring" in line}


def test_a_killed_publisher_leaves_nothing_and_its_successor_is_read(place):
    before = set(os.listdir("/dev/shm"))
    mapped_before = mapped_rings()
    with Subscriber(place) as sub:
        for _ in range(2):
            publisher = subprocess.Popen([sys.executable, "-c", PUBLISHES, place])
            try:
                stream = sub.receive(60).header.stream
                while sub._topics._by_socket["fused"] or sub.receive(60).header.stream != stream:
                    sub.receive(60)
                message = sub.receive(60)
                assert message.pixels.min() == message.pixels.max() == message.header.seq % 256
            finally:
                publisher.send_signal(signal.SIGKILL)
                publisher.wait()
        assert sub.counter.restarts == 1
    assert set(os.listdir("/dev/shm")) <= before
    del message  # its pixels are the publisher's memory
    assert mapped_rings() <= mapped_before


def test_a_stopped_reader_changes_nothing_for_another(place):
    reads = "import sys, livemef\nfor frame in livemef.subscribe(sys.argv[1]): print(frame.header.seq, flush=True)"
    with Publisher(place) as publisher, Subscriber(place) as sub:
        other = subprocess.Popen([sys.executable, "-c", reads, place], stdout=subprocess.PIPE)
        try:
            os.set_blocking(other.stdout.fileno(), False)
            seq, told = switched(publisher, sub), b""
            while not told:
                publisher.publish("fused", header(seq), flat((1, 2, 3)))
                assert sub.receive(30).header.seq == seq
                seq, told = seq + 1, other.stdout.read() or b""
            seq = switched(publisher, sub, seq)
            other.send_signal(signal.SIGSTOP)
            for number in range(seq, seq + 200):
                publisher.publish("fused", header(number), flat((1, 2, 3)))
                assert sub.receive(30).header.seq == number
            assert (sub.counter.gaps, publisher.dropped, publisher._buffers.in_flight) == (0, 0, 0)
        finally:
            other.kill()
            other.communicate()


@pytest.fixture
def older(place):
    """A publisher's socket that is not livemef's."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.bind(place)
    yield socket
    context.destroy(linger=0)


def subscriptions(socket, wanted):
    """Read what is asked for until it is `wanted`."""
    asked = set()
    while asked != wanted:
        assert socket.poll(30_000)
        message = socket.recv()
        (asked.add if message[:1] == b"\x01" else asked.discard)(message[1:])


def test_a_publisher_without_it_is_read_by_socket(older, place):
    with Subscriber(place) as sub:
        subscriptions(older, {b"fused", b"shm/fused"})
        older.send_multipart(encode("fused", header(1), ramp()))
        np.testing.assert_array_equal(sub.receive(30).pixels, ramp())


def test_a_publisher_without_it_that_comes_later_is_read_by_socket(place):
    with Subscriber(place) as sub:
        with Publisher(place) as publisher:
            switched(publisher, sub)
        context = zmq.Context()
        socket = context.socket(zmq.XPUB)
        try:
            socket.bind(place)
            reading = threading.Thread(target=subscriptions, args=(socket, {b"fused", b"shm/fused"}))
            reading.start()
            assert not sub.poll(3)  # it asks for both meanwhile
            reading.join()
            socket.send_multipart(encode("fused", header(1), ramp()))
            np.testing.assert_array_equal(sub.receive(30).pixels, ramp())
        finally:
            context.destroy(linger=0)


def note(**changes):
    good = {"pid": os.getpid(), "fd": 0, "segment": "0" * 32, "offset": 0, "generation": 2, "size": 45}
    return json.dumps({**good, **changes}).encode()


@pytest.mark.parametrize("changes", [{"pid": 1 << 40}, {"fd": 1 << 40}, {}, {"pid": 1, "fd": 1}])
def test_memory_that_cannot_be_opened_here_is_not_asked_for_again(older, place, changes):
    with Subscriber(place) as sub:
        subscriptions(older, {b"fused", b"shm/fused"})
        older.send_multipart([b"shm/fused", encode("fused", header(1), ramp())[1], note(**changes)])
        older.send_multipart(encode("fused", header(1), ramp()))
        np.testing.assert_array_equal(sub.receive(30).pixels, ramp())
        assert older.poll(30_000)
        assert older.recv() == b"\x00shm/fused"


def test_memory_of_another_publisher_is_refused():
    ring = PictureRing(45)
    true = json.loads(ring.put(ramp().data.cast("B")))
    with pytest.raises(FileNotFoundError):
        Segment(read_note(json.dumps({**true, "segment": "a" * 32}).encode()))
    ring.close()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"offset": 1 << 40}, "outside"),
        ({"offset": 4090}, "outside"),
        ({"size": 1 << 20}, "outside"),
        ({"size": 1 << 50}, "over the limit"),
        ({"size": 44}, "44 bytes"),
        ({"offset": -1}, "offset"),
        ({"generation": "2"}, "generation"),
        ({"segment": "x"}, "segment"),
    ],
)
def test_a_wrong_note_is_a_fault_of_the_message(older, place, changes, fault):
    ring = PictureRing(45)
    good = json.loads(ring.put(ramp().data.cast("B")))
    described = encode("fused", header(1), ramp())[1]
    with Subscriber(place) as sub:
        subscriptions(older, {b"fused", b"shm/fused"})
        older.send_multipart([b"shm/fused", described, json.dumps(good).encode()])
        np.testing.assert_array_equal(sub.receive(30).pixels, ramp())
        older.send_multipart([b"shm/fused", described, json.dumps({**good, **changes}).encode()])
        with pytest.raises(WireError, match=fault):
            sub.receive(30)
        older.send_multipart([b"shm/fused", described, json.dumps(good).encode()])
        assert sub.receive(30).header.seq == 1
    ring.close()


def test_who_asks_for_everything_has_nothing_shared(place):
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.subscribe(b"")
    try:
        with Publisher(place) as publisher:
            socket.connect(place)
            until(lambda: publisher.wanted("fused"))
            publisher.publish("fused", header(1), ramp())
            assert [socket.recv_multipart()[0] for _ in range(2)] == [b"fused", b"status"]
            assert not publisher._rings
    finally:
        context.destroy(linger=0)
