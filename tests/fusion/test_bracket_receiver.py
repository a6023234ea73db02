"""The inbox wakes whoever waits for brackets and for something else, and for nothing in between."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture import process
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, Frame, FrameRecord, Mosaic
from livemef.capture.transport.slot_link import Caller, meeting_point
from livemef.fusion.bracket_receiver import Delivery, Inbox

LIMIT_S = 30.0
"""Far longer than any wait here is to take: one that is not ended by an event fails by its time."""


@contextmanager
def connected(mosaics: bool = False) -> Iterator[tuple[process._Outbox, Inbox]]:
    ours, theirs = meeting_point()
    info = open_camera("sim://?size=64x48").info
    outbox = process._Outbox(process.CaptureJob(ours, "x"), info, 2, mosaics)
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


def raw(number: int, width: int = 64) -> Mosaic:
    return Mosaic(np.full((48, width), 1000 + number, np.uint16), "GRBG", 64, 4095, 1.5 + number, 1.25)


def put(outbox: process._Outbox, number: int, mosaic: Mosaic | None = None) -> None:
    exposure = Exposure(1000.0 if number % 2 == 0 else 16000.0)
    record = FrameRecord(number, number, "monotonic", 0, measured=exposure, index=number % 2, bracket_size=2)
    room = outbox.room()
    assert room is not None
    room[:] = number
    outbox.put(Frame(record, room, mosaic), {})


def test_a_bracket_ends_the_wait() -> None:
    never, _ = os.pipe()
    with connected() as (outbox, inbox):
        for number in range(2):
            put(outbox, number)
        began, delivery = time.monotonic(), None
        while delivery is None:  # the first frame alone is no bracket
            inbox.wait(never, LIMIT_S)
            delivery = inbox.take()
        assert time.monotonic() - began < LIMIT_S
        assert [int(pixels[0, 0, 0]) for pixels in delivery.pixels] == [0, 1]
        inbox.give_back(delivery)


def delivered(inbox: Inbox) -> Delivery:
    never, _ = os.pipe()
    while (delivery := inbox.take()) is None:
        inbox.wait(never, LIMIT_S)
    return delivery


def test_raw_frames_travel_with_their_pictures_and_go_with_them() -> None:
    with connected(mosaics=True) as (outbox, inbox):
        for number in range(6):
            put(outbox, number, raw(number))
            if number == 0:
                continue
            delivery = delivered(inbox)
            for record, pixels, mosaic in zip(delivery.bracket.records, delivery.pixels, delivery.mosaics, strict=True):
                assert mosaic is not None
                assert np.array_equal(mosaic.values, raw(record.sequence).values)
                assert (mosaic.order, mosaic.black, mosaic.white) == ("GRBG", 64, 4095)
                assert (mosaic.red_gain, mosaic.blue_gain) == (1.5 + record.sequence, 1.25)
                assert np.all(pixels == record.sequence)
            inbox.give_back(delivery)
        assert len(inbox._mosaics) <= 2  # of the frames that wait for their partners
        put(outbox, 6)  # a frame without one, in a slot that had one
        put(outbox, 7)
        while (delivery := delivered(inbox)).bracket.newest.sequence != 7:
            inbox.give_back(delivery)
        assert delivery.mosaics == (None, None)
        with pytest.raises(CaptureError, match="raw frames are 16x48"):
            put(outbox, 8, raw(8, width=16))


def test_raw_frames_that_nobody_asked_for_stay_with_the_camera() -> None:
    with connected() as (outbox, inbox):
        slot_bytes = outbox._ring.slot_bytes
        for number in range(2):
            put(outbox, number, raw(number))
        assert delivered(inbox).mosaics == (None, None)
    with connected(mosaics=True) as (outbox, _):
        assert outbox._ring.slot_bytes > slot_bytes


def test_something_else_ends_the_wait() -> None:
    readable, writable = os.pipe()
    with connected() as (_, inbox):
        os.write(writable, b"x")
        began = time.monotonic()
        inbox.wait(readable, LIMIT_S)
        assert time.monotonic() - began < LIMIT_S
        assert inbox.take() is None


def test_the_end_of_capture_ends_the_wait() -> None:
    never, _ = os.pipe()
    with connected() as (outbox, inbox):
        began = time.monotonic()
        outbox.end()
        while not inbox.ended:
            inbox.wait(never, LIMIT_S)
        assert time.monotonic() - began < LIMIT_S


def test_brackets_that_arrived_during_a_long_fusion_are_fused_in_turn() -> None:
    with connected() as (outbox, inbox):
        for number in range(20):
            put(outbox, number)
            time.sleep(0.002)
            if number:
                inbox.give_back(delivered(inbox))
        # of eight slots one bracket has two, the camera two, the next frame one
        assert inbox._backlog.most == 3
        put(outbox, 20)
        delivery = delivered(inbox)
        put(outbox, 21)
        put(outbox, 22)
        while len(inbox._backlog) < 2:
            time.sleep(0.001)
        inbox.give_back(delivery)
        later = [delivered(inbox), delivered(inbox)]
        assert [one.bracket.newest.sequence for one in later] == [21, 22]
        for one in later:
            assert [int(pixels[0, 0, 0]) for pixels in one.pixels] == [one.bracket.records[i].sequence for i in (0, 1)]
            inbox.give_back(one)
        assert inbox.take_superseded() == 0
        while outbox._pool.lent > 2:  # of the last bracket, which waits for its successor
            outbox.attend()


def test_frames_that_find_no_mate_are_counted() -> None:
    with connected() as (outbox, inbox):
        for number in range(0, 20, 2):  # every second one is lost
            put(outbox, number)
            time.sleep(0.002)
        put(outbox, 21)
        inbox.give_back(delivered(inbox))
        assert inbox.take_unmatched() == 9
        for number in range(22, 30):
            put(outbox, number)
            inbox.give_back(delivered(inbox))
        assert inbox.take_unmatched() == 0


@given(st.lists(st.sampled_from(["put", "wait", "fuse", "pause"]), max_size=60))
@settings(max_examples=40, deadline=None)
def test_whoever_receives_no_frame_is_lost_or_comes_twice(steps: list[str]) -> None:
    """Frames come while they are waited for, and while they are not."""
    never, writable = os.pipe()
    seen, number = [], 0
    with connected() as (outbox, inbox):
        for step in [*steps, "put", "put", "wait"]:
            if step == "put":
                put(outbox, number)
                number += 1
            elif step == "wait":
                inbox.wait(never, 0.001)
            elif step == "pause":
                time.sleep(0.0005)
            if step in ("wait", "fuse") and (delivery := inbox.take()) is not None:
                seen.append(delivery.bracket.newest.sequence)
                time.sleep(0.001 * (step == "fuse"))
                inbox.give_back(delivery)
        end_s = time.monotonic() + LIMIT_S
        while (not seen or seen[-1] < number - 1) and time.monotonic() < end_s:
            outbox.attend()
            inbox.wait(never, 0.01)
            if (delivery := inbox.take()) is not None:
                seen.append(delivery.bracket.newest.sequence)
                inbox.give_back(delivery)
        assert seen == sorted(set(seen))
        assert seen[-1] == number - 1
        assert len(seen) + inbox.take_superseded() + outbox.not_taken == number - 1
    os.close(never)
    os.close(writable)


def test_messages_are_received_by_who_waits_and_else_by_the_thread() -> None:
    never, _ = os.pipe()
    takers: list[str] = []
    with connected() as (outbox, inbox):
        take_in = inbox._take_in

        def noted(message: Mapping[str, Any]) -> None:
            takers.append(threading.current_thread().name)
            take_in(message)

        inbox._take_in = noted  # type: ignore[method-assign]
        for number in range(3):
            put(outbox, number)
            while len(takers) == number:  # nobody waits
                time.sleep(0.001)
        inbox.give_back(delivered(inbox))
        with ThreadPoolExecutor(1, thread_name_prefix="waiting") as pool:
            for number in range(3, 6):
                while inbox.take() is not None:
                    pass
                waiting = pool.submit(inbox.wait, never, LIMIT_S)
                while not inbox._attended:
                    time.sleep(0.001)
                put(outbox, number)
                waiting.result()
    assert [name.partition("_")[0] for name in takers] == ["inbox"] * 3 + ["waiting"] * 3
