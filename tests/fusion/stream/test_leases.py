"""Pictures that are read in place: leases of slots, and what both sides do where there are none."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.fusion.stream import leases
from livemef.fusion.stream.kept_memory import KeptMemory
from livemef.fusion.stream.picture_ring import SLOTS, TURNING, PictureRing
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.shared_topics import MOST_LEASED, Note, Segment, read_note
from livemef.fusion.stream.subscriber import Subscriber
from livemef.fusion.stream.subscription import subscribe
from tests.fusion.stream.stream_samples import flat, header
from tests.fusion.stream.test_publisher import until
from tests.fusion.stream.test_shared_pictures import switched

SIZE = 100


def put(ring: PictureRing, value: int, size: int = SIZE) -> Note | None:
    note = ring.put(np.full(size, value, np.uint8).data)
    ring.prepare()
    return None if note is None else read_note(note)


def in_place(segment: Segment, pixels: np.ndarray) -> bool:
    begin = segment._bytes.ctypes.data
    return bool(begin <= pixels.ctypes.data < begin + segment._bytes.size)


def test_a_picture_that_is_held_is_in_place_and_never_written_over() -> None:
    ring = PictureRing(SIZE)
    first = put(ring, 0)
    assert first is not None
    assert first.lend
    segment = Segment(first)
    held = segment.pixels(first, KeptMemory())
    assert held is not None
    assert in_place(segment, held)
    assert not held.flags.writeable
    view = held.reshape(10, 10)[2:, ::3].view()
    del held  # a view of a view keeps it as well
    for number in range(1, 5 * SLOTS):
        note = put(ring, number)
        assert note is not None
        assert note.offset != first.offset
        assert (view == 0).all()
    del view
    assert first.offset in {note.offset for number in range(SLOTS) if (note := put(ring, number))}
    ring.close()


def test_it_outlives_its_segment_and_its_publisher() -> None:
    ring = PictureRing(SIZE)
    first = put(ring, 7)
    assert first is not None
    held = Segment(first).pixels(first, KeptMemory())
    assert all((note := put(ring, 9)) and note.offset != first.offset for _ in range(2 * SLOTS))
    ring.close()
    assert held is not None
    assert (held == 7).all()


@given(st.lists(st.tuples(st.sampled_from(["put", "read", "drop"]), st.integers(0, 2), st.integers(0, 5)), max_size=80))
@settings(deadline=None, max_examples=60)
def test_whatever_readers_hold_stays_and_the_publisher_goes_on(steps: list[tuple[str, int, int]]) -> None:
    """Three readers, which take pictures late and keep some: put, or which reader reads what or drops what."""
    ring = PictureRing(SIZE)
    notes = [put(ring, 0)]
    assert notes[0] is not None
    readers = [(Segment(notes[0]), KeptMemory()) for _ in range(3)]
    held: list[tuple[int, np.ndarray]] = []
    for what, reader, which in steps:
        if what == "put":
            notes.append(put(ring, len(notes)))
            assert notes[-1] is not None
        elif what == "read":
            number = max(0, len(notes) - 1 - which)
            note = notes[number]
            assert note is not None
            pixels = readers[reader][0].pixels(note, readers[reader][1])
            assert pixels is not None or which >= TURNING - 1
            held += [] if pixels is None else [(number, pixels)]
            del pixels
        elif held:
            held.pop(which % len(held))
        assert all((pixels == number).all() for number, pixels in held)
    held.clear()
    assert ring._leased() == 0
    ring.close()


def test_a_lease_beside_a_writer_is_whole_or_nothing() -> None:
    size, ended = 1 << 20, threading.Event()
    ring = PictureRing(size)
    notes: deque[tuple[int, Note | None]] = deque([(0, put(ring, 0, size))])
    assert notes[0][1] is not None
    segment, memory = Segment(notes[0][1]), KeptMemory()

    def write() -> None:
        for number in range(1, 1500):
            notes.append((number, put(ring, number % 251, size)))
            if len(notes) >= SLOTS:
                notes.popleft()
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    leased = 0
    while not ended.is_set():
        number, note = notes[0]  # the oldest that may still be there
        assert note is not None
        pixels = segment.pixels(note, memory)
        leased += pixels is not None and in_place(segment, pixels)
        assert pixels is None or ((pixels == number % 251).all() and (pixels == number % 251).all())
    writer.join()
    assert leased
    ring.close()


def test_who_keeps_many_gets_copies(tmp_path: Path) -> None:
    place = f"ipc://{tmp_path}/s"
    with Publisher(place) as publisher, Subscriber(place) as sub:
        first = switched(publisher, sub)
        kept = []
        for seq in range(first, first + 3 * SLOTS):
            assert publisher.publish("fused", header(seq), flat((seq, seq, seq)))
            kept.append(sub.receive(30))
        segment = sub._topics._segments["fused"]
        assert sum(in_place(segment, message.pixels) for message in kept) == MOST_LEASED
        assert all(message.pixels.min() == message.pixels.max() == message.header.seq for message in kept)
        assert sub.counter.gaps == 0


def test_a_loop_over_pictures_copies_none(tmp_path: Path) -> None:
    place = f"ipc://{tmp_path}/s"
    with Publisher(place) as publisher, subscribe(place) as frames:
        seq = switched(publisher, frames._subscriber)
        assert publisher.publish("fused", header(seq), flat((1, 1, 1)))
        for frame in frames:
            assert in_place(frames._subscriber._topics._segments["fused"], frame.image)
            if frame.header.seq == seq + 2 * SLOTS:
                break
            assert publisher.publish("fused", header(frame.header.seq + 1), flat((1, 1, 1)))


HOLDS = """
import sys, time
from livemef.fusion.stream.subscriber import Subscriber
with Subscriber(sys.argv[1]) as sub:
    kept = [sub.receive(60)]
    while len(kept) < 3:
        message = sub.receive(60)
        if not sub._topics._by_socket["fused"]:
            kept.append(message)
    print("holds", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_reader_held_is_free_again(tmp_path: Path) -> None:
    place = f"ipc://{tmp_path}/s"
    with Publisher(place) as publisher:
        reader = subprocess.Popen([sys.executable, "-c", HOLDS, place], stdout=subprocess.PIPE)
        try:
            assert reader.stdout is not None
            until(lambda: publisher.wanted("fused"), 60)
            done = threading.Event()
            told = threading.Thread(target=lambda: (reader.stdout.readline(), done.set()))  # type: ignore[union-attr]
            told.start()
            seq = 0
            while not done.wait(0.01):
                publisher.publish("fused", header(seq), flat((1, 1, 1)))
                seq += 1
            ring = publisher._rings["fused"]
            assert ring._leased() == MOST_LEASED
        finally:
            reader.kill()
            reader.communicate()
        until(lambda: ring._leased() == 0)


def test_where_everything_is_locked_pictures_are_dropped_for_readers_of_memory_alone(tmp_path: Path) -> None:
    """A program of the same user may lock what it likes: the publisher waits for none, and overwrites nothing."""
    place = f"ipc://{tmp_path}/s"
    with Publisher(place) as publisher, Subscriber(place) as sub:
        seq = switched(publisher, sub)
        publisher.publish("fused", header(seq), flat((1, 1, 1)))
        note = read_note(publisher._rings["fused"]._note)
        with open(f"/proc/{note.pid}/fd/{note.fd}", "rb") as other:
            for slot in range(SLOTS):
                leases.lock_to_read(other.fileno(), slot * publisher._rings["fused"]._ring.slot_bytes)
            room = publisher.room_for(flat((0, 0, 0)))  # prepared before
            assert room is not None
            assert publisher.publish("fused", header(seq + 1), room)
            before = publisher.dropped
            for number in range(seq + 2, seq + 5):
                room = publisher.room_for(flat((0, 0, 0)))
                assert room is not None
                assert not publisher.publish("fused", header(number), room)
            assert publisher.dropped == before + 3
        assert publisher.publish("fused", header(seq + 5), flat((5, 5, 5)))
        while sub.receive(30).header.seq != seq + 5:
            pass


def test_without_such_locks_everything_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_SET", None)
    ring = PictureRing(SIZE)
    note = put(ring, 3)
    assert note is not None
    assert not note.lend
    segment = Segment(note)
    pixels = segment.pixels(note, KeptMemory())
    assert pixels is not None
    assert (pixels == 3).all()
    assert not in_place(segment, pixels)
    ring.close()
