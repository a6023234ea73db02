"""Topic `event`: what is written, what is read, and that pictures go on beside it."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

import livemef
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.stream_event import StreamEvent, decode_event, encode_event
from livemef.fusion.stream.subscriber import Subscriber
from livemef.fusion.stream.wire import WireError
from tests.fusion.stream.stream_samples import header, ramp
from tests.fusion.stream.test_publisher import until

WRITTEN = (
    b'{"event":"settings","data":{"revision":3,"changed":{"fusion.gamma":0.8}},"seq":7,"stream":"0123456789abcdef",'
    b'"frame_id":"camera","published_wall_ns":1700000000020000002,"version":1}'
)
EVENT = StreamEvent(
    event="settings",
    data={"revision": 3, "changed": {"fusion.gamma": 0.8}},
    seq=7,
    stream="0123456789abcdef",
    published_wall_ns=1700000000020000002,
)


def test_an_event_is_written_as_the_docs_say() -> None:
    assert encode_event(EVENT) == [b"event", WRITTEN, b""]
    assert decode_event(encode_event(EVENT)) == EVENT
    page = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()
    assert json.dumps(json.loads(WRITTEN), separators=(",", ":")) in page.replace("\n", "").replace(", ", ",").replace(
        ": ", ":"
    )


@given(st.lists(st.binary(max_size=60), max_size=4) | st.binary(max_size=80).map(lambda text: [b"event", text, b""]))
def test_whatever_comes_is_an_event_or_refused(parts: list[bytes]) -> None:
    try:
        decode_event(parts)
    except WireError as refused:
        said = str(refused)
    else:
        said = ""
    assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "update livemef"),
        ({"seq": -1}, "seq"),
        ({"event": ""}, "event"),
        ({"data": []}, "data"),
    ],
)
def test_what_does_not_follow_the_docs_is_refused(change: dict[str, Any], says: str) -> None:
    text = json.dumps(json.loads(WRITTEN) | change).encode()
    with pytest.raises(WireError, match=says):
        decode_event([b"event", text, b""])


def came(publisher: Publisher, subscriber: Subscriber) -> bool:
    publisher.publish("fused", header(4), ramp("uint8"))
    with contextlib.suppress(livemef.ReceiveTimeout):
        return subscriber.receive(0.1).header.seq == 4
    return False


def test_events_come_to_who_asks_and_pictures_to_all(tmp_path: Path) -> None:
    events: list[StreamEvent] = []
    endpoint = f"sub+connect:ipc://{tmp_path}/s"
    with (
        Publisher(f"ipc://{tmp_path}/s") as publisher,
        Subscriber(endpoint, on_event=events.append) as asks,
        Subscriber(endpoint, ("fused", "event")) as both,
        Subscriber(endpoint) as pictures,
    ):
        until(lambda: publisher.wanted("event") and publisher.wanted("fused"))
        until(lambda: publisher.publish_event("process", {"name": "capture"}, "cam") and asks.poll(0.05))
        publisher.publish_event("settings", {"revision": 2})
        for subscriber in (asks, both, pictures):  # each joins when it does
            until(lambda subscriber=subscriber: came(publisher, subscriber))
        assert [event.event for event in events][-1] == "settings"
        assert events[0].data == {"name": "capture"}
        assert (events[0].frame_id, events[0].stream) == ("cam", publisher.stream)
        assert [event.seq for event in events] == list(range(events[0].seq, events[0].seq + len(events)))
        publisher.publish_event("settings", {"revision": 3})
        while asks.poll(0.5) and events[-1].data != {"revision": 3}:
            with contextlib.suppress(livemef.ReceiveTimeout):  # an event is no picture
                asks.receive(0.1)
        assert events[-1].data == {"revision": 3}


def test_newest_skips_pictures_but_no_event(tmp_path: Path) -> None:
    events: list[StreamEvent] = []
    with Publisher(f"ipc://{tmp_path}/s") as publisher:
        frames = livemef.subscribe(f"ipc://{tmp_path}/s", newest=True, on_event=events.append)
        with frames:
            until(lambda: publisher.wanted("event") and publisher.wanted("fused"))
            publisher.publish("fused", header(1), ramp("uint8"))
            publisher.publish_event("plan", {"epoch": 1})
            publisher.publish("fused", header(2), ramp("uint8"))
            publisher.publish_event("plan", {"epoch": 2})
            seen = [next(frames).header.seq]
            while seen[-1] != 2:
                seen.append(next(frames).header.seq)
            publisher.publish("fused", header(3), ramp("uint8"))
            assert next(frames).header.seq == 3
            assert [event.data["epoch"] for event in events] == [1, 2]


def test_a_frame_has_the_names_that_programs_use(tmp_path: Path) -> None:
    with Publisher(f"ipc://{tmp_path}/s") as publisher, livemef.subscribe(f"ipc://{tmp_path}/s") as frames:
        until(lambda: publisher.wanted("fused"))
        for seq in (1, 4):
            publisher.publish("fused", header(seq), ramp("uint8"))
        first, second = next(frames), next(frames)
    assert (first.missed, second.missed) == (0, 2)
    assert first.image is first.pixels
    assert np.asarray(first) is first.pixels or np.shares_memory(np.asarray(first), first.pixels)
    assert np.asarray(first, np.float32).dtype == np.float32
    assert first.stamp == first.header.timestamp_wall_ns / 1e9
    assert len(first.exposures) == len(first.header.sources)
    assert first.exposures[0] == (first.header.sources[0].measured or first.header.sources[0].requested)
    assert first.motion == first.header.motion


def test_a_foreign_reader_gets_three_parts(tmp_path: Path) -> None:
    with Publisher(f"ipc://{tmp_path}/s") as publisher, zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.setsockopt(zmq.LINGER, 0)
        reader.subscribe("event")
        reader.connect(f"ipc://{tmp_path}/s")
        until(lambda: publisher.publish_event("still", {"id": "x"}) and bool(reader.poll(50)))
        topic, text, payload = reader.recv_multipart()
    assert (topic, payload) == (b"event", b"")
    assert json.loads(text)["data"] == {"id": "x"}


def test_imagezmq_has_no_events(tmp_path: Path) -> None:
    with Publisher(f"ipc://{tmp_path}/s", wire="imagezmq") as publisher:
        assert not publisher.publish_event("still", {})
