"""Receiving as a loop: what cannot be read is counted, what is missing is counted, a wait ends."""

from pathlib import Path

import numpy as np
import pytest
import zmq

from livemef.fusion.stream.subscriber import ReceiveTimeout
from livemef.fusion.stream.subscription import DEFAULT_ENDPOINT, subscribe
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
