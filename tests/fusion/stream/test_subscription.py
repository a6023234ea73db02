"""Receiving as a loop: what cannot be read is counted, what is missing is counted, a wait ends."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import zmq

from livemef.fusion.stream.subscriber import ReceiveTimeout
from livemef.fusion.stream.subscription import DEFAULT_ENDPOINT, Missed, subscribe
from livemef.fusion.stream.wire import encode
from livemef.tools.config.schema import PublishConfig
from tests.fusion.stream.stream_samples import header, ramp

PICTURE = ramp(np.uint8, 6, 8)


def test_malformed_messages_are_counted_and_the_loop_goes_on(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.setsockopt(zmq.LINGER, 0)
        publisher.bind(f"ipc://{tmp_path}/s")
        with subscribe(f"ipc://{tmp_path}/s", timeout_s=30) as messages:
            while not messages._subscriber.poll(0.05):
                publisher.send_multipart([b"fused", b"{", b""])
            for seq in (1, 4):
                publisher.send_multipart([b"fused", b"nonsense"])
                publisher.send_multipart(encode("fused", header(seq), PICTURE))
            received = [next(messages), next(messages)]
            assert [message.header.seq for message in received] == [1, 4]
            assert messages.missed.gaps == 2
            assert messages.missed.malformed >= 3
    for message in received:
        np.testing.assert_array_equal(message.pixels, PICTURE)
        with pytest.raises(ValueError, match="read-only"):
            message.pixels[0] = 0


def test_a_wait_ends_and_names_its_limit(tmp_path: Path) -> None:
    with (
        subscribe(f"ipc://{tmp_path}/nobody", timeout_s=0.2) as messages,
        pytest.raises(ReceiveTimeout, match=r"0\.2 s"),
    ):
        next(messages)


def test_the_default_is_where_run_publishes() -> None:
    assert PublishConfig().endpoint == f"pub+bind:{DEFAULT_ENDPOINT}"


def test_async_iteration_lets_other_tasks_go_on(tmp_path: Path) -> None:
    """Messages in order, malformed ones counted, while another task of the loop publishes them."""

    async def publish(publisher: zmq.Socket[bytes], received: list[int]) -> None:
        seq = 0
        while len(received) < 3:
            publisher.send_multipart([b"fused", b"{", b""])
            publisher.send_multipart(encode("fused", header(seq := seq + 1), PICTURE))
            await asyncio.sleep(0.01)

    async def receive(received: list[int]) -> Missed:
        with subscribe(f"ipc://{tmp_path}/s", timeout_s=30) as messages:
            async for message in messages:
                received.append(message.header.seq)
                np.testing.assert_array_equal(message.pixels, PICTURE)
                if len(received) == 3:
                    return messages.missed
        raise AssertionError

    async def both() -> tuple[list[int], Missed]:
        received: list[int] = []
        with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
            publisher.setsockopt(zmq.LINGER, 0)
            publisher.bind(f"ipc://{tmp_path}/s")
            return received, (await asyncio.gather(receive(received), publish(publisher, received)))[0]

    received, missed = asyncio.run(both())
    assert received == list(range(received[0], received[0] + 3))
    assert missed.gaps == 0
    assert missed.malformed >= 2


def test_an_async_wait_ends_or_is_cancelled(tmp_path: Path) -> None:
    async def wait(timeout_s: float) -> None:
        with subscribe(f"ipc://{tmp_path}/nobody", timeout_s=timeout_s) as messages:
            await asyncio.wait_for(anext(messages), 0.5)

    with pytest.raises(ReceiveTimeout, match=r"within 0\.2 s"):
        asyncio.run(wait(0.2))
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(wait(60))
