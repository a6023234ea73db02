import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest

from livemef.capture import process
from livemef.capture.cameras.registry import open_camera
from livemef.capture.errors import CameraStalled
from livemef.capture.frame import Frame, FrameRecord
from livemef.capture.process import least_slots
from livemef.capture.transport.ring import Ring, SlotPool
from livemef.capture.transport.slot_link import Caller, meeting_point


@pytest.mark.parametrize("exposures", [2, 3, 5])
def test_a_consumer_with_its_hands_full_is_still_given_the_next_frame(exposures: int) -> None:
    pool = SlotPool[int](least_slots(exposures))
    for sequence in range(2 * exposures):  # a frame of each exposure, and as many under fusion
        slot = pool.acquire()
        assert slot is not None
        pool.fill(slot, sequence)
        assert len(pool.hand_over()) == 1
    slot = pool.acquire()
    assert slot is not None
    pool.fill(slot, 99)
    assert [note for _, note in pool.hand_over()] == [99]
    assert pool.acquire() is not None  # and the camera has where to write


def test_frames_are_written_where_fusion_reads_them() -> None:
    """Frames in the outbox's room are not copied; one that nobody wanted gives way; others are copied as before."""
    ours, theirs = meeting_point()
    info = open_camera("sim://?size=32x16").info
    outbox = process._Outbox(process.CaptureJob(ours, "x"), info, 2, False)
    assert outbox.room() is None  # nobody is there to take frames
    with ThreadPoolExecutor(1) as pool:
        connected = pool.submit(Caller(theirs).connect, 5.0)
        while not outbox.attend():
            time.sleep(0.001)
        client = connected.result()
    assert client is not None
    ring = Ring.attach(client.ring_fd, client.greeting["slots"], client.greeting["slot_bytes"])
    record = FrameRecord(0, 0, "monotonic", 0)
    received, memories = [], []
    for value in range(20):  # more than there are slots
        room = outbox.room()
        again = outbox.room()
        assert room is not None
        assert again is not None
        assert room.ctypes.data == again.ctypes.data  # until it has been put
        room[:] = value
        own = np.full((16, 32, 3), 100 + value, np.uint8)
        outbox.put(Frame(record, own if value % 4 == 3 else room), {})
        message = client.receive()
        assert message is not None
        received.append(int(ring.view(message["slot"], (16, 32, 3), "uint8")[0, 0, 0]))
        memories.append(room.ctypes.data)
        client.send({"release": [message["slot"]]})
    assert received == [100 + value if value % 4 == 3 else value for value in range(20)]
    assert len(set(memories)) <= client.greeting["slots"]
    assert outbox.not_taken == 0
    ring.close()
    client.close()
    outbox.close()


def test_a_step_ends_when_the_consumer_of_its_frame_is_replaced() -> None:
    ours, theirs = meeting_point()
    outbox = process._Outbox(process.CaptureJob(ours, "x"), open_camera("sim://?size=32x16").info, 2, False)
    with ThreadPoolExecutor(1) as pool:
        for last in (False, True):
            connecting = pool.submit(Caller(theirs).connect, 30.0)
            while not connecting.done():
                outbox.attend()
                time.sleep(0.001)
            client = connecting.result()
            assert client is not None
            if last:
                assert outbox.attend()  # by the new one
                assert outbox.step_done
            else:
                room = outbox.room()
                assert room is not None
                outbox.put(Frame(FrameRecord(0, 0, "monotonic", 0), room), {})
                assert client.receive() is not None
                assert outbox.attend()
                assert not outbox.step_done
            client.close()
            os.close(client.ring_fd)
    outbox.close()


class SilentSession:
    """A camera that delivers nothing; its driver says so after the time that it was given, and a little."""

    def __init__(self, clock: "Clock", absent_s: float = 0.0) -> None:
        self._clock, self._absent_s, self.asked = clock, absent_s, 0

    def next_frame(self, timeout_s: float) -> None:
        self.asked += 1
        absent_s, self._absent_s = self._absent_s, 0.0  # this process is stopped once, and goes on
        self._clock.now_s += timeout_s + absent_s
        raise CameraStalled(f"camera 'x': no frame within {timeout_s:.3g} s: is it plugged in?")


class Clock:
    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class NobodyAsks:
    stopping = False

    def beat(self, **values: object) -> None:
        assert values == {"state": "waiting for the camera"}


def waited(monkeypatch: pytest.MonkeyPatch, absent_s: float) -> tuple[float, str]:
    clock = Clock()
    monkeypatch.setattr(process, "time", clock)
    job = process.CaptureJob(link=socket.socket(), camera="x", stall_timeout_s=5.0)
    session = SilentSession(clock, absent_s)
    with pytest.raises(CameraStalled) as caught:
        process._next_frame(job, cast(Any, session), cast(Any, NobodyAsks()))
    job.link.close()
    return clock.now_s - 100.0, str(caught.value)


def test_a_stall_is_told_with_the_limit_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    passed_s, said = waited(monkeypatch, 0.0)
    assert 5.0 <= passed_s < 5.6
    assert "no frame within 5 s" in said


def test_time_in_which_this_process_was_stopped_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    passed_s, _ = waited(monkeypatch, 30.0)
    assert passed_s > 30.0 + 4.5
