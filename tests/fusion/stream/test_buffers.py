import numpy as np
import pytest

from livemef.fusion.stream.buffers import Buffer, BufferPool
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.subscriber import Subscriber
from tests.fusion.stream.stream_samples import header


class Sent:
    """A tracker of a message that is under way until told otherwise."""

    done = False


def test_a_lent_buffer_is_nobody_elses():
    pool = BufferPool(2)
    lent = pool.lend(10)
    assert lent is not None
    assert pool.take() is not lent
    other = pool.take()
    other.tracker = Sent()
    assert pool.lend(1) is None
    lent.lent = False
    assert pool.take() is lent


def test_a_payload_that_lies_in_the_buffer_is_not_copied():
    buffer = Buffer()
    room = buffer.part(6)
    room[:] = range(6)
    assert bytes(buffer.fill(room.data)) == bytes(range(6))
    assert buffer.memory is room.base or buffer.memory is room
    assert bytes(buffer.fill(memoryview(b"abcdefgh"))) == b"abcdefgh"


@pytest.fixture
def publisher(tmp_path):
    with Publisher(f"pub+bind:ipc://{tmp_path}/s") as made:
        yield made


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_into_the_room_arrives(publisher, tmp_path, dtype):
    like = np.empty((150, 160, 3), dtype)  # what is smaller is copied by pyzmq
    with Subscriber(f"sub+connect:ipc://{tmp_path}/s") as subscriber:
        while not publisher.wanted("fused"):
            pass
        for number in range(6):
            room = publisher.room_for(like)
            assert room.shape == like.shape
            assert room.dtype == like.dtype
            room[:] = number + 1
            assert publisher.publish("fused", header(number), room)
            publisher.room_for(like)[:] = 99  # the next picture, while this one may be under way
            message = subscriber.receive(30)
            np.testing.assert_array_equal(message.pixels, np.full_like(like, number + 1))


def test_the_room_stays_while_nobody_listens_and_follows_the_size(publisher):
    small, large = np.empty((4, 4, 3), np.uint8), np.empty((40, 40, 3), np.uint16)
    first = publisher.room_for(small)
    assert not publisher.publish("fused", header(0), first)
    assert publisher.room_for(small).ctypes.data == first.ctypes.data
    assert publisher.room_for(large).shape == large.shape
    assert publisher.buffer_bytes == large.nbytes


def test_an_exposure_does_not_take_the_room(publisher, tmp_path):
    like = np.empty((5, 6, 3), np.uint8)
    with Subscriber(f"sub+connect:ipc://{tmp_path}/s", ["exposure/0"]) as subscriber:
        while not publisher.wanted("exposure/0"):
            pass
        room = publisher.room_for(like)
        room[:] = 9
        publisher.publish("exposure/0", header(0), np.full_like(like, 3))
        assert subscriber.receive(30).pixels.max() == 3
        assert room.min() == room.max() == 9
        assert publisher.room_for(like).ctypes.data == room.ctypes.data


def test_compressed_pictures_have_no_room(tmp_path):
    with Publisher(f"pub+bind:ipc://{tmp_path}/j", "jpeg") as publisher:
        assert publisher.room_for(np.empty((4, 4, 3), np.uint8)) is None
