"""The header's JSON as it is written quickly is what its definition says, and has its limits."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.frame import Bracket, Exposure, FrameRecord, LabelSource, Verdict
from livemef.fusion.settings import FusionSettings
from livemef.fusion.stream import header_text
from livemef.fusion.stream.header import Header, Motion, Pipeline, Source, SourceExposure, bracket_header
from livemef.fusion.stream.header_text import PublisherFields, defined_json, header_json
from tests.fusion.stream.stream_samples import header

WHOLE = st.integers(0, 2**63 - 1) | st.integers(-2, 2**64) | st.booleans() | st.floats(0, 9)
NUMBER = st.floats() | st.integers(-5, 5)
TEXT = st.text(max_size=5) | st.text(st.characters(codec=None), max_size=3) | st.integers(250, 260).map("x".__mul__)
POSITIVE = st.floats(-1, 1e9) | st.sampled_from([0.0, 1, float("inf")])
EXPOSURES = st.none() | st.builds(SourceExposure, exposure_us=POSITIVE, gain=POSITIVE)
SOURCES = st.builds(
    Source,
    seq=WHOLE,
    timestamp_ns=WHOLE,
    clock=TEXT,
    requested=EXPOSURES,
    measured=EXPOSURES,
    label_source=st.sampled_from([*LabelSource, "metadata"]),
)
MOTIONS = st.builds(Motion, reference=WHOLE, share=st.floats(-0.5, 1.5), shift_px=st.tuples(NUMBER, NUMBER))
CHANGES = {
    "seq": WHOLE,
    "timestamp_ns": WHOLE,
    "clock": TEXT,
    "timestamp_wall_ns": WHOLE,
    "timestamp_wall_from": st.sampled_from(["sensor", "arrival", "camera"]),
    "frame_id": TEXT,
    "sources": st.lists(SOURCES, max_size=3).map(tuple) | st.lists(SOURCES, min_size=65, max_size=65).map(tuple),
    "ev_gap": st.none() | NUMBER,
    "verdict": st.sampled_from([*Verdict, "good"]),
    "epoch": WHOLE,
    "latency_ms": st.dictionaries(TEXT, NUMBER, max_size=4),
    "model_sha256": TEXT,
    "device": TEXT,
    "fusion": st.dictionaries(
        TEXT, st.none() | st.booleans() | NUMBER | TEXT | st.lists(NUMBER, max_size=1), max_size=4
    ),
    "settings_rev": WHOLE,
    "motion": st.none() | MOTIONS,
    "profile": TEXT,
    "correction": st.lists(TEXT, max_size=3).map(tuple) | st.lists(TEXT, min_size=16, max_size=17).map(tuple),
    "pipeline": st.builds(Pipeline, captured=WHOLE, dropped=WHOLE, published=WHOLE),
    "version": st.integers(-1, 3) | st.booleans(),
    "stream": TEXT,
    "published_wall_ns": WHOLE,
    "width": st.integers(-1, 3) | st.integers(65534, 65537) | st.booleans(),
    "height": st.integers(-1, 3) | st.integers(65534, 65537),
    "encoding": st.sampled_from(["bgr8", "bgr16", "bayer_rggb8", "rgb8"]),
    "step": st.integers(-1, 3) | st.integers(65535 * 16, 65535 * 16 + 1),
    "codec": st.sampled_from(["raw", "png", "webp"]),
}


@st.composite
def headers(draw: st.DrawFn) -> Header:
    names = draw(st.sets(st.sampled_from(sorted(CHANGES)), max_size=4))
    usual = {"width": 5, "height": 3, "step": 15}
    return header(**{**usual, **{name: draw(CHANGES[name]) for name in sorted(names)}})


def outcome(described: Header, write) -> object:
    try:
        return json.loads(write(described))
    except ValueError:  # pydantic's, too
        return None


@given(headers())
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_what_the_definition_says(described: Header) -> None:
    assert outcome(described, header_json) == outcome(described, defined_json)


def test_the_publishers_fields_take_the_place_of_the_headers() -> None:
    fields = PublisherFields(640, 480, "bgr16", 3840, "png", "ab" * 8, 12)
    described = header(codec="jpeg", stream="cd" * 8)
    assert header_json(described, fields) == defined_json(fields.put_into(described))
    assert json.loads(header_json(described, replace(fields, codec="raw")))["codec"] == "raw"
    with pytest.raises(ValueError, match="width"):
        header_json(described, replace(fields, width=0))


def test_equal_values_of_other_types_are_not_taken_for_each_other() -> None:
    fields = PublisherFields(5, 3, "bgr8", 15, "raw")
    written = [header_json(header(fusion={"a": value}), fields) for value in (1, True, 1.0)]
    assert [json.loads(text)["fusion"]["a"].__class__ for text in written] == [int, bool, float]


def test_the_header_of_a_live_picture_is_written_without_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    exposures = Exposure(1000.0), Exposure(16000.0)
    records = tuple(
        FrameRecord(n, n, "monotonic", 0, measured=one, requested=one, index=n, label_source=LabelSource.METADATA)
        for n, one in enumerate(exposures)
    )
    made = bracket_header(
        Bracket(records, Verdict.GOOD),
        0,
        latency_ms={"wait": 0.25, "pixels": 3.0},
        fusion=FusionSettings().as_dict(),
        motion=Motion(reference=1, share=0.25, shift_px=(0.5, 0.0)),
        correction=("response", "lens"),
    )
    fields = PublisherFields(5, 3, "bgr8", 15, "raw")
    expected = defined_json(fields.put_into(made))
    monkeypatch.setattr(header_text, "defined_json", pytest.fail)
    assert header_json(made, fields) == expected
