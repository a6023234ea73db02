import time

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from livemef.fusion.errors import FusionError
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.subscriber import GapCounter, Subscriber
from livemef.fusion.stream.wire import WireError
from tests.fusion.stream.stream_samples import flat, header, ramp
from tests.fusion.stream.test_publisher import until


def test_counts_missing_numbers_topic_by_topic():
    counter = GapCounter()
    assert [counter.note("fused", "a", seq) for seq in (5, 6, 9, 10)] == [0, 0, 2, 0]
    assert counter.note("exposure/0", "a", 100) == 0
    assert (counter.gaps, counter.restarts) == (2, 0)


@pytest.mark.parametrize("again", [("b", 11), ("b", 0), ("a", 3), ("a", 10)])
def test_a_restart_is_not_a_gap(again):
    counter = GapCounter()
    counter.note("fused", "a", 10)
    assert counter.note("fused", *again) == 0
    assert (counter.gaps, counter.restarts) == (0, 1)


def test_what_was_not_subscribed_is_no_gap():
    counter = GapCounter()
    counter.note("fused", "a", 1)
    counter.forget("fused")
    counter.note("fused", "a", 50)
    assert (counter.gaps, counter.restarts) == (0, 0)


@given(st.lists(st.booleans(), min_size=2))
def test_gaps_are_exactly_the_numbers_lost(kept):
    """Whatever subset of a stream arrives: gaps plus arrivals cover first to last."""
    arrived = [seq for seq, here in enumerate(kept) if here]
    counter = GapCounter()
    for seq in arrived:
        counter.note("fused", "a", seq)
    if arrived:
        assert counter.gaps + len(arrived) == arrived[-1] - arrived[0] + 1
    assert counter.restarts == 0


def until_heard(publisher, sub):
    """Wait for the subscription, while the subscriber waits for a message: ZeroMQ renews it in such calls."""
    until(lambda: not sub._socket.poll(0) and publisher.wanted("fused"))


@pytest.fixture
def place(tmp_path):
    return f"ipc://{tmp_path}/s"


def test_subscriber_may_come_first_and_sees_restarts(place):
    with Subscriber(f"sub+connect:{place}") as sub:
        for first in (3, 0):
            with Publisher(f"pub+bind:{place}") as publisher:
                until_heard(publisher, sub)
                for seq in (first, first + 1, first + 4):
                    publisher.publish("fused", header(seq), ramp())
                    assert sub.receive(30).header.seq == seq
        assert (sub.counter.gaps, sub.counter.restarts) == (4, 1)


@pytest.mark.parametrize("shared", [False, True])
def test_newest_skips_what_has_queued_up(place, shared):
    with Publisher(f"pub+bind:{place}") as publisher, Subscriber(place, shared_memory=shared) as sub:
        until(lambda: publisher.wanted("fused"))
        while shared and publisher.wanted("fused") and publisher._listened("fused"):
            publisher.publish("fused", header(0), ramp())
            sub.receive(30)
        for seq in range(4):
            publisher.publish("fused", header(seq), ramp())
        until(lambda: publisher._buffers.in_flight == 0)
        time.sleep(0.1)
        # ZeroMQ gives the queue's room back in halves: with some of it used before, not all need be here already
        messages = [sub.receive(30, newest=True)]
        while messages[-1].header.seq != 3:
            messages.append(sub.receive(30, newest=True))
        assert len(messages) < 4
        message = messages[-1]
        np.testing.assert_array_equal(message.pixels, ramp())


def test_receives_all_topics_asked_for_and_no_others(place):
    with Publisher(f"pub+bind:{place}") as publisher, Subscriber(f"sub:{place}", ("fused", "exposure/1")) as sub:
        until(lambda: publisher.wanted("exposure/1"))
        for topic in ("fused", "exposure/0", "exposure/1"):
            publisher.publish(topic, header(), ramp())
        assert [sub.receive(30).topic for _ in range(2)] == ["fused", "exposure/1"]


def test_receipt_is_stamped_with_wall_time(place):
    with Publisher(f"pub+bind:{place}") as publisher, Subscriber(f"sub:{place}") as sub:
        until(lambda: publisher.wanted("fused"))
        publisher.publish("fused", header(), ramp())
        message = sub.receive(30)
        assert message.header.published_wall_ns <= message.received_wall_ns <= time.time_ns()


def test_a_foreign_message_is_an_error_and_the_next_is_received(place):
    context = zmq.Context()
    foreign = context.socket(zmq.XPUB)
    foreign.bind(place)
    try:
        with Subscriber(f"sub+connect:{place}") as sub:
            assert foreign.recv() == b"\x01fused"
            foreign.send_multipart([b"fused", b"not json", b""])
            with pytest.raises(WireError, match="JSON"):
                sub.receive(30)
            foreign.send(b"fused")
            with pytest.raises(WireError, match="1 parts"):
                sub.receive(30)
    finally:
        context.destroy(linger=0)


def test_publisher_may_connect_to_a_bound_subscriber(place):
    with Subscriber(f"sub+bind:{place}") as sub, Publisher(f"pub+connect:{place}") as publisher:
        until_heard(publisher, sub)
        publisher.publish("fused", header(2), flat((1, 2, 3)))
        assert sub.receive(30).header.seq == 2


def test_a_wrong_endpoint_is_refused():
    with pytest.raises(FusionError, match="pub endpoint stands"):
        Subscriber("pub+bind:tcp://127.0.0.1:5556")
