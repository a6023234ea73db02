import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zmq

from livemef.capture.frame import Mosaic
from livemef.fusion.errors import FusionError
from livemef.fusion.stream import wire
from livemef.fusion.stream.buffers import BufferPool
from livemef.fusion.stream.header_text import header_json
from livemef.fusion.stream.publisher import BUFFERS, Publisher
from livemef.fusion.stream.subscriber import ReceiveTimeout, Subscriber
from tests.fusion.stream.stream_samples import flat, header, ramp


@pytest.fixture
def publisher(tmp_path):
    with Publisher(f"pub+bind:ipc://{tmp_path}/s") as publisher:
        yield publisher


def until(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.005)


def plain_sub(publisher, *topics):
    """A subscriber that is nothing but ZeroMQ."""
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVTIMEO, 30_000)
    for topic in topics:
        socket.subscribe(topic)
    socket.connect(publisher.address)
    return socket


def test_nothing_is_sent_that_nobody_wants(publisher):
    assert not publisher.wanted("fused")
    assert not publisher.publish("fused", header(), ramp())
    assert (publisher.published, publisher.dropped) == (0, 0)


def test_wanted_follows_the_subscriptions(publisher):
    with plain_sub(publisher, "exposure/1") as sub:
        until(lambda: publisher.wanted("exposure/1"))
        assert not publisher.wanted("exposure/0")
        assert not publisher.wanted("fused")
        sub.subscribe("fused")
        until(lambda: publisher.wanted("fused"))
        sub.unsubscribe("exposure/1")
        until(lambda: not publisher.wanted("exposure/1"))
    until(lambda: not publisher.wanted("fused"))


@pytest.mark.parametrize("codec", ["raw", "png", "jpeg"])
def test_plain_sub_receives_the_message(tmp_path, codec):
    with Publisher(f"ipc://{tmp_path}/c", codec) as publisher, plain_sub(publisher, "fused") as sub:
        until(lambda: publisher.wanted("fused"))
        before = time.time_ns()
        assert publisher.publish("fused", header(3), flat((10, 120, 200)))
        message = wire.decode(sub.recv_multipart())
    assert message.topic == "fused"
    assert (message.header.seq, message.header.codec, message.header.stream) == (3, codec, publisher.stream)
    assert before <= message.header.published_wall_ns <= time.time_ns()
    assert np.abs(message.pixels.astype(int) - flat((10, 120, 200))).max() <= 4 * (codec == "jpeg")


def test_status_is_the_header_without_the_picture(publisher):
    with plain_sub(publisher, "status") as sub:
        until(lambda: publisher.wanted("status"))
        assert not publisher.wanted("fused")
        assert not publisher.publish("fused", header(9), ramp())
        topic, described, payload = sub.recv_multipart()
    assert (topic, payload) == (b"status", b"")
    assert wire.peek([topic, described, payload])[1].seq == 9
    assert json.loads(described)["width"] == 5


def test_fused_and_status_share_one_header_that_is_checked_once(publisher, monkeypatch):
    checked = []

    def counted(header, fields):
        checked.append(header)
        return header_json(header, fields)

    monkeypatch.setattr("livemef.fusion.stream.publisher.header_json", counted)
    with plain_sub(publisher, "") as sub:
        until(lambda: publisher.wanted("fused"))
        assert publisher.publish("fused", header(9), ramp())
        fused, status = sub.recv_multipart(), sub.recv_multipart()
    assert (status[0], fused[0]) == (b"status", b"fused")
    assert status[1] == fused[1]
    assert len(checked) == 1


def test_status_can_follow_what_was_published_with_the_picture(publisher):
    """In fusion's order: the picture, its exposures and its mask, which share its header; its status at last."""
    with plain_sub(publisher, "") as sub:
        until(lambda: publisher.wanted("fused"))
        described = header(9)
        publisher.publish("fused", described, ramp(), with_status=False)
        publisher.publish("motion", described, flat((1, 1, 1), 4, 8))
        publisher.publish_status(described, ramp())
        publisher.publish_status(header(10), ramp())  # of a picture that nobody wanted
        fused, motion, status, alone = (sub.recv_multipart() for _ in range(4))
    assert [parts[0] for parts in (fused, motion, status, alone)] == [b"fused", b"motion", b"status", b"status"]
    assert status[1] == fused[1] != motion[1]
    assert wire.peek(alone)[1].seq == 10
    assert json.loads(alone[1])["width"] == json.loads(fused[1])["width"]


def test_published_pixels_may_be_overwritten_at_once(publisher):
    """The picture is the publisher's own from `publish` on, whatever becomes of the caller's array."""
    with plain_sub(publisher, "fused") as sub:
        until(lambda: publisher.wanted("fused"))
        pixels = np.empty((480, 640, 3), np.uint8)
        for seq in range(20):
            pixels[:] = seq
            publisher.publish("fused", header(seq), pixels)
            pixels[:] = 255
            message = wire.decode(sub.recv_multipart())
            assert (message.pixels == message.header.seq).all()


def test_a_reader_that_keeps_up_needs_few_buffers(publisher):
    with plain_sub(publisher, "fused") as sub:
        until(lambda: publisher.wanted("fused"))
        for seq in range(50):
            assert publisher.publish("fused", header(seq), flat((1, 2, 3), 480, 640))
            sub.recv_multipart()
    until(lambda: publisher._buffers.in_flight == 0)
    assert len(publisher._buffers._buffers) <= 4


def test_pool_hands_out_no_more_than_its_limit():
    class Held:
        done = False

    pool = BufferPool(2)
    taken = []
    for _ in range(2):
        taken.append(pool.take())
        taken[-1].tracker = Held()
    assert taken[0] is not taken[1]
    assert pool.in_flight == 2
    assert pool.take() is None
    taken[1].tracker = None
    assert pool.take() is taken[1]


def test_codec_and_wire_are_checked(tmp_path):
    with pytest.raises(FusionError, match="raw, jpeg, png"):
        Publisher(f"ipc://{tmp_path}/x", codec="webp")
    with pytest.raises(FusionError, match="livemef or imagezmq"):
        Publisher(f"ipc://{tmp_path}/x", wire="ros")
    with pytest.raises(FusionError, match="imagezmq: raw, jpeg"):
        Publisher(f"ipc://{tmp_path}/x", codec="png", wire="imagezmq")
    assert list(tmp_path.iterdir()) == []


def test_occupied_endpoint_leaves_the_first_alone(publisher):
    with pytest.raises(FusionError, match="in use"):
        Publisher(f"pub+bind:{publisher.address}")
    with Subscriber(f"sub+connect:{publisher.address}") as sub:
        until(lambda: publisher.wanted("fused"))
        publisher.publish("fused", header(1), ramp())
        assert sub.receive(30).header.seq == 1


def test_close_removes_the_path_and_can_be_repeated(tmp_path):
    publisher = Publisher(f"pub+bind:ipc://{tmp_path}/s")
    publisher.close()
    publisher.close()
    assert list(tmp_path.iterdir()) == []


STOPPABLE = """
import sys
from livemef.fusion.stream.subscriber import Subscriber
with Subscriber("sub+connect:" + sys.argv[1], shared_memory=False) as sub:
    print(sub.receive(20).header.seq, flush=True)
    while True:
        sub.receive(20)
"""


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_stopped_subscriber_changes_nothing_for_another(tmp_path, transport):
    """Two subscribers stopped by SIGSTOP, one after the other: the third still gets every picture, in order."""
    place = f"ipc://{tmp_path}/s" if transport == "ipc" else "tcp://127.0.0.1:0"
    with Publisher(f"pub+bind:{place}") as publisher:
        command = [sys.executable, "-c", STOPPABLE, publisher.address]
        others = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        try:
            with Subscriber(f"sub+connect:{publisher.address}", shared_memory=False) as sub:
                until(lambda: publisher.wanted("fused"))
                seq = exchange_until_all_receive(publisher, sub, others)
                for other in others:
                    os.kill(other.pid, signal.SIGSTOP)
                    for _ in range(60):
                        assert publisher.publish("fused", header(seq), flat((seq % 256, 0, 0), 360, 640))
                        assert sub.receive(30).header.seq == seq
                        seq += 1
                assert sub.counter.gaps == 0
                assert 0 < publisher._buffers.in_flight < BUFFERS
        finally:
            for other in others:
                other.kill()
                other.communicate()


def exchange_until_all_receive(publisher, sub, others):
    """Publish until every other process has reported its first picture; the next number."""
    seq = 0
    for other in others:
        os.set_blocking(other.stdout.fileno(), False)
    waiting = list(others)
    end = time.monotonic() + 20
    while waiting and time.monotonic() < end:
        publisher.publish("fused", header(seq), flat((0, 0, 0), 360, 640))
        assert sub.receive(30).header.seq == seq
        seq += 1
        waiting = [other for other in waiting if not other.stdout.read()]
        time.sleep(0.005)
    assert not waiting
    return seq


def test_a_buffer_is_never_rewritten_while_a_slow_reader_holds_it(publisher):
    """A reader that lags keeps pictures in its queue: each must arrive as it was sent."""
    with plain_sub(publisher, "fused") as sub:
        until(lambda: publisher.wanted("fused"))
        for seq in range(60):
            publisher.publish("fused", header(seq), flat((seq, seq, seq), 480, 640))
        received = 0
        try:
            while True:
                sub.setsockopt(zmq.RCVTIMEO, 300)
                message = wire.decode(sub.recv_multipart())
                assert (message.pixels == message.header.seq).all()
                received += 1
        except zmq.Again:
            pass
    assert received > 5


def test_receive_times_out(publisher):
    with Subscriber(f"sub+connect:{publisher.address}") as sub, pytest.raises(ReceiveTimeout, match=r"within 0\.05 s"):
        sub.receive(0.05)


def test_a_raw_frame_is_sent_uncompressed_to_those_who_want_it(tmp_path):
    mosaic = Mosaic(ramp(np.uint16, 12, 16)[..., 0], "BGGR", 64, 4095, 1.9, 1.4)
    with Publisher(f"pub+bind:ipc://{tmp_path}/s", "jpeg") as publisher:
        assert not publisher.publish_mosaic("mosaic/1", header(), mosaic)
        with Subscriber(f"sub+connect:{publisher.address}", ("mosaic/",)) as subscriber:
            until(lambda: publisher.wanted("mosaic/1"))
            assert not publisher.wanted("exposure/1")
            assert publisher.publish_mosaic("mosaic/1", header(), mosaic)
            message = subscriber.receive(30)
    np.testing.assert_array_equal(message.mosaic.values, mosaic.values)
    assert (message.header.codec, message.header.stream) == ("raw", publisher.stream)
    assert (message.mosaic.black, message.mosaic.red_gain) == (64, 1.9)
