import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.frame import Bracket, Exposure, FrameRecord, LabelSource, Mosaic, Verdict
from livemef.fusion.errors import FusionError
from livemef.fusion.stream import wire
from livemef.fusion.stream.header import bracket_header, exposure_header, wall_time
from tests.fusion.stream.stream_samples import header, outcome, ramp

GOLDEN = Path(__file__).parents[2] / "golden"
GOLDEN_MESSAGES = {
    "wire_bgr8": ("fused", np.uint8),
    "wire_bgr16": ("exposure/1", np.uint16),
}
MOSAIC_GOLDEN = "wire_bayer_grbg16"


def golden_header():
    return header(stream="0123456789abcdef", published_wall_ns=1_700_000_000_020_000_002)


def golden_parts(name):
    """The three parts, each after its length (32 bits, big-endian)."""
    data, parts = (GOLDEN / f"{name}.bin").read_bytes(), []
    while data:
        length = int.from_bytes(data[:4], "big")
        parts.append(data[4 : 4 + length])
        data = data[4 + length :]
    return parts


def golden_mosaic():
    return Mosaic(ramp(np.uint16)[..., 0] % 4096, "GRBG", 64.0, 4095.0, 1.75, 1.5)


def encoded(codec="raw", dtype=np.uint8, **changes):
    return [bytes(part) for part in wire.encode("fused", header(codec=codec, **changes), ramp(dtype, 16, 24))]


@pytest.mark.parametrize("name", GOLDEN_MESSAGES)
def test_encodes_the_golden_bytes(name):
    topic, dtype = GOLDEN_MESSAGES[name]
    parts = wire.encode(topic, golden_header(), ramp(dtype))
    assert [bytes(part) for part in parts] == golden_parts(name)


@pytest.mark.parametrize("name", GOLDEN_MESSAGES)
def test_decodes_the_golden_bytes(name):
    topic, dtype = GOLDEN_MESSAGES[name]
    message = wire.decode(golden_parts(name))
    assert message.topic == topic
    assert message.header.sources == golden_header().sources
    assert message.header.encoding == name.removeprefix("wire_")
    np.testing.assert_array_equal(message.pixels, ramp(dtype))
    assert message.pixels.dtype == dtype


def test_a_raw_frame_has_golden_bytes_and_comes_back_with_its_pedestal():
    parts = wire.encode_mosaic("mosaic/1", golden_header(), golden_mosaic())
    assert [bytes(part) for part in parts] == golden_parts(MOSAIC_GOLDEN)
    message = wire.decode(golden_parts(MOSAIC_GOLDEN))
    mosaic = message.mosaic
    assert (message.topic, message.header.encoding) == ("mosaic/1", "bayer_grbg16")
    np.testing.assert_array_equal(mosaic.values, golden_mosaic().values)
    assert (mosaic.order, mosaic.black, mosaic.white) == ("GRBG", 64, 4095)
    assert (mosaic.red_gain, mosaic.blue_gain) == (1.75, 1.5)


@pytest.mark.parametrize("order", ["", "RGGB", "BGGR", "GRBG", "GBRG"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_order_of_raw_frames_travels(order, dtype):
    sent = Mosaic(ramp(dtype, 6, 8)[..., 1], order, 3.5, 250.0)
    parts = [bytes(part) for part in wire.encode_mosaic("mosaic/0", header(codec="jpeg"), sent)]
    read = wire.decode(parts).mosaic
    np.testing.assert_array_equal(read.values, sent.values)
    assert read.values.dtype == dtype
    assert (read.order, read.black, read.white) == (order, 3.5, 250)


def test_a_message_of_a_writer_without_raw_frames_is_read():
    topic, text, payload = golden_parts("wire_bgr8")
    older = {name: value for name, value in json.loads(text).items() if name != "mosaic"}
    assert wire.decode([topic, json.dumps(older).encode(), payload]).mosaic is None


@pytest.mark.parametrize(
    ("topic", "changes", "says"),
    [
        (b"fused", {}, "does not carry"),
        (b"mosaic/1", {"encoding": "bgr16", "step": 30}, "does not carry"),
        (b"mosaic/1", {"mosaic": None}, "the field mosaic"),
        (b"mosaic/1", {"codec": "png"}, "codec raw"),
        (b"mosaic/1", {"mosaic": {"black": 70.0, "white": 70.0}}, "not below white"),
        (b"mosaic/1", {"mosaic": {"black": -1.0, "white": 70.0}}, "greater than or equal to 0"),
        (b"mosaic/1", {"step": 8}, "step 8"),
        (b"mosaic/1", {"height": 9}, "payload has"),
        (b"mosaic/01", {}, "unknown topic"),
        (b"mosaic", {}, "unknown topic"),
    ],
)
def test_raw_frames_that_break_the_rules_are_refused(topic, changes, says):
    _, text, payload = golden_parts(MOSAIC_GOLDEN)
    described = json.dumps(json.loads(text) | changes).encode()
    with pytest.raises(wire.WireError, match=says):
        wire.decode([topic, described, payload])


def test_what_is_no_raw_frame_is_not_sent():
    for mosaic in (Mosaic(ramp(), "RGGB", 0, 255), Mosaic(ramp()[..., 0], "RGBG", 0, 255)):
        with pytest.raises(FusionError, match="cannot be sent"):
            wire.encode_mosaic("mosaic/0", header(), mosaic)


@pytest.mark.parametrize(
    ("codec", "dtype"), [("raw", np.uint8), ("raw", np.uint16), ("png", np.uint8), ("png", np.uint16)]
)
def test_lossless_codecs_return_the_very_pixels(codec, dtype):
    message = wire.decode(encoded(codec, dtype))
    np.testing.assert_array_equal(message.pixels, ramp(dtype, 16, 24))


def test_jpeg_returns_nearly_the_pixels():
    smooth = np.full((16, 24, 3), (10, 120, 200), np.uint8)
    message = wire.decode(wire.encode("fused", header(codec="jpeg"), smooth))
    assert np.abs(message.pixels.astype(int) - smooth).max() <= 4


def test_rows_that_are_not_contiguous_are_sent_whole():
    wide = ramp(np.uint16, 6, 20)
    part = wide[:, 3:11]
    np.testing.assert_array_equal(wire.decode(wire.encode("fused", header(), part)).pixels, part)


def test_raw_payload_is_neither_copied_in_nor_out():
    pixels = ramp()
    parts = wire.encode("fused", header(), pixels)
    assert np.shares_memory(np.frombuffer(parts[2], np.uint8), pixels)
    assert np.shares_memory(wire.decode(parts).pixels, pixels)


def test_padded_rows_are_read():
    pixels = ramp(np.uint8, 2, 4)
    padded = b"".join(row.tobytes() + b"\xee" * 4 for row in pixels)
    parts = wire.encode("fused", header(), pixels)
    parts[1] = parts[1].replace(b'"step":12', b'"step":16')
    np.testing.assert_array_equal(wire.decode([parts[0], parts[1], padded]).pixels, pixels)


@pytest.mark.parametrize(
    ("pixels", "codec", "says"),
    [
        (np.zeros((4, 4), np.uint8), "raw", "height x width x 3"),
        (np.zeros((0, 4, 3), np.uint8), "raw", "height x width x 3"),
        (np.zeros((4, 4, 3), np.float32), "raw", "uint8 or uint16"),
        (np.zeros((4, 4, 3), np.uint16), "jpeg", "choose raw or png"),
        (np.zeros((1, 65536, 3), np.uint8), "raw", "longest side"),
    ],
)
def test_pictures_that_cannot_be_sent(pixels, codec, says):
    with pytest.raises(FusionError, match=says):
        wire.encode("fused", header(codec=codec), pixels)


def test_a_header_beyond_its_limits_is_not_sent():
    with pytest.raises(ValueError, match="finite"):
        wire.encode("fused", header(ev_gap=float("inf")), ramp())


def changed(**changes):
    parts = encoded()
    described = json.loads(parts[1])
    described.update(changes)
    return [parts[0], json.dumps(described).encode(), parts[2]]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([], "0 parts"),
        (encoded()[:2], "2 parts"),
        ([*encoded(), b""], "4 parts"),
        ([b"other", *encoded()[1:]], "unknown topic"),
        ([b"exposure/01", *encoded()[1:]], "unknown topic"),
        ([b"status", *encoded()[1:]], "carries no picture"),
        ([b"fused", b"{", b""], "JSON"),
        ([b"fused", b"[1]", b""], "object"),
        ([b"fused", b"[" * 100_000, b""], "recursion"),
        ([b"fused", b" " * (wire.LONGEST_HEADER + 1), b""], "over"),
        ([encoded()[0], encoded()[1].replace(b'"ev_gap":4.0', b'"ev_gap":NaN'), encoded()[2]], "ev_gap"),
        (changed(seq=-1), "seq"),
        (changed(seq=2**63), "seq"),
        (changed(seq=1.5), "seq"),
        (changed(seq="1"), "seq"),
        (changed(width=0), "width"),
        (changed(height=17), "payload has"),
        (changed(step=71), "step 71"),
        (changed(encoding="rgb8"), "encoding"),
        (changed(encoding="bgr16"), "step"),
        (changed(codec="webp"), "codec"),
        (changed(codec="png"), "no picture"),
        (changed(codec="jpeg"), "no picture"),
        (changed(verdict="splendid"), "verdict"),
        (changed(sources=[{"seq": 1}]), "sources.0"),
        (changed(sources=[{"seq": 1, "timestamp_ns": 1, "clock": "x", "measured": {"exposure_us": 0}}]), "exposure_us"),
        (changed(version=2), "wire version 2"),
        (changed(version=3, seq=None), "wire version 3"),
        (changed(version=0), "version"),
    ],
)
def test_malformed_messages_are_one_line(parts, says):
    with pytest.raises(wire.WireError) as caught:
        wire.decode(parts)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_keys_that_a_later_writer_added_are_passed_over():
    parts = encoded()
    described = json.loads(parts[1])
    described["colour_space"] = {"name": "srgb"}
    described["pipeline"]["reconnects"] = 3
    described["sources"][0]["temperature"] = 41.5
    message = wire.decode([parts[0], json.dumps(described).encode(), parts[2]])
    assert replace(message, pixels=None) == replace(wire.decode(parts), pixels=None)


def assert_message_or_one_line(result):
    if isinstance(result, wire.WireError):
        assert "\n" not in str(result)
    else:
        assert result.pixels.shape == (result.header.height, result.header.width, 3)


PNG, JPEG = encoded("png"), encoded("jpeg")


@given(st.sampled_from([encoded(), encoded(dtype=np.uint16), PNG, JPEG]), st.data())
@settings(max_examples=400, deadline=None)
def test_decoding_is_total(parts, data):
    """Whatever bytes are changed, cut or put in: a message or a WireError."""
    parts = [bytearray(part) for part in parts]
    for _ in range(data.draw(st.integers(1, 4))):
        part = parts[data.draw(st.integers(0, 2))]
        at = data.draw(st.integers(0, len(part)))
        length = data.draw(st.integers(0, 8))
        part[at : at + length] = data.draw(st.binary(max_size=8))
    assert_message_or_one_line(outcome(lambda: wire.decode([bytes(part) for part in parts])))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(json.loads(encoded()[1]))), JSON_VALUES, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_json_in_any_field(changes):
    assert_message_or_one_line(outcome(lambda: wire.decode(changed(**changes))))


def record(sequence, timestamp_ns, **changes):
    fields = {"sequence": sequence, "timestamp_ns": timestamp_ns, "clock": "boottime", "received_ns": 0}
    return FrameRecord(**{**fields, **changes})


def test_header_of_a_bracket():
    dark = record(5, 10_000, measured=Exposure(1000.0, 2.0), index=0, label_source=LabelSource.METADATA, epoch=3)
    bright = record(4, 9_000, measured=Exposure(16000.0, 2.0), index=1, requested=Exposure(16000.0), epoch=3)
    made = bracket_header(Bracket((dark, bright), Verdict.GAP), 12, latency_ms={"network": 3.0})
    assert (made.seq, made.timestamp_ns, made.clock, made.epoch) == (12, 10_000, "boottime", 3)
    assert (made.ev_gap, made.verdict) == (4.0, Verdict.GAP)
    assert [source.seq for source in made.sources] == [5, 4]
    assert made.sources[0].requested is None
    assert made.sources[1].measured.gain == 2.0
    second = exposure_header(made, 1)
    assert (second.seq, second.timestamp_ns, len(second.sources)) == (12, 9_000, 1)
    assert made.timestamp_wall_ns - second.timestamp_wall_ns == 1000


def test_wall_time_follows_the_sensors_clock():
    frame = record(1, 500_000, received_ns=40_000)
    assert wall_time(frame, 50_000, 10**18, 530_000) == (10**18 - 30_000, "sensor")


@pytest.mark.parametrize("clock_now", [None, 10**12])
def test_wall_time_falls_back_to_arrival(clock_now):
    frame = record(1, 500_000, received_ns=40_000)
    assert wall_time(frame, 50_000, 10**18, clock_now) == (10**18 - 10_000, "arrival")


def test_wall_time_of_a_frame_of_now_is_now():
    now = time.monotonic_ns()
    frame = record(1, now, received_ns=now, clock="monotonic")
    made = bracket_header(Bracket((frame,), Verdict.GOOD), 1)
    assert made.timestamp_wall_from == "sensor"
    assert abs(made.timestamp_wall_ns - time.time_ns()) < 5e9
