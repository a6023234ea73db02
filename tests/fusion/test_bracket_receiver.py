"""The inbox wakes whoever waits for brackets and for something else, and for nothing in between."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from livemef.capture import process
from livemef.capture.cameras.registry import open_camera
from livemef.capture.frame import Exposure, Frame, FrameRecord
from livemef.capture.transport.slot_link import Caller, meeting_point
from livemef.fusion.bracket_receiver import Inbox

LIMIT_S = 30.0
"""Far longer than any wait here is to take: one that is not ended by an event fails by its time."""


@contextmanager
def connected() -> Iterator[tuple[process._Outbox, Inbox]]:
    ours, theirs = meeting_point()
    info = open_camera("sim://?size=32x16").info
    outbox = process._Outbox(process.CaptureJob(ours, "x"), info, 2, False)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Inbox.connect, Caller(theirs), "sliding", LIMIT_S)
        while not outbox.attend():
            time.sleep(0.001)
        inbox = asked.result()
    assert inbox is not None
    try:
        yield outbox, inbox
    finally:
        inbox.close()
        outbox.close()


def put(outbox: process._Outbox, number: int) -> None:
    exposure = Exposure(1000.0 if number % 2 == 0 else 16000.0)
    record = FrameRecord(number, number, "monotonic", 0, measured=exposure, index=number % 2, bracket_size=2)
    room = outbox.room()
    assert room is not None
    room[:] = number
    outbox.put(Frame(record, room), {})


def test_a_bracket_ends_the_wait() -> None:
    never, _ = os.pipe()
    with connected() as (outbox, inbox):
        for number in range(2):
            put(outbox, number)
        began, delivery = time.monotonic(), None
        while delivery is None:  # the first frame alone is no bracket
            inbox.wait(never, LIMIT_S)
            delivery = inbox.take(0)
        assert time.monotonic() - began < LIMIT_S
        assert [int(pixels[0, 0, 0]) for pixels in delivery.pixels] == [0, 1]
        inbox.give_back(delivery)


def test_something_else_ends_the_wait() -> None:
    readable, writable = os.pipe()
    with connected() as (_, inbox):
        os.write(writable, b"x")
        began = time.monotonic()
        inbox.wait(readable, LIMIT_S)
        assert time.monotonic() - began < LIMIT_S
        assert inbox.take(0) is None


def test_the_end_of_capture_ends_the_wait() -> None:
    never, _ = os.pipe()
    with connected() as (outbox, inbox):
        began = time.monotonic()
        outbox.end()
        while not inbox.ended:
            inbox.wait(never, LIMIT_S)
        assert time.monotonic() - began < LIMIT_S
