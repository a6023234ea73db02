from dataclasses import replace

import pytest

from livemef.capture.frame import Exposure, FrameRecord
from livemef.fusion.stream.latency import after_arrival_ms, before_arrival_ms, newest_exposure
from tests.fusion.stream.stream_samples import header

MS = 1_000_000


def record(**changes):
    """Exposed for 16 ms from 100 ms on the camera's clock; arrived 40 ms after the start, 5 ms before now."""
    made = FrameRecord(7, 100 * MS, "boottime", 1000 * MS, measured=Exposure(16_000.0))
    return replace(made, **changes)


NOW = {"monotonic_now_ns": 1005 * MS, "clock_now": 145 * MS}


def test_exposure_and_readout_are_told_apart():
    assert before_arrival_ms(record(), **NOW) == {"exposure": 16.0, "readout": 24.0}


def test_a_stamp_at_the_end_leaves_the_readout():
    assert before_arrival_ms(record(timestamp_reference="end"), **NOW) == {"readout": 40.0}


@pytest.mark.parametrize(
    ("changes", "clock_now"),
    [({}, None), ({"measured": None}, 145 * MS), ({"timestamp_ns": 139 * MS}, 145 * MS), ({}, 10**15)],
)
def test_what_is_not_known_is_not_said(changes, clock_now):
    assert before_arrival_ms(record(**changes), 1005 * MS, clock_now) == {}


def test_the_rest_is_from_the_last_row_to_receipt():
    sent = replace(
        header(3),
        timestamp_wall_ns=10**18,
        timestamp_wall_from="sensor",
        latency_ms={"exposure": 16.0, "readout": 24.0},
    )
    assert after_arrival_ms(sent, 10**18 + 55 * MS) == pytest.approx(15)
    assert after_arrival_ms(replace(sent, latency_ms={"readout": 24.0}), 10**18 + 55 * MS) == pytest.approx(31)
    assert after_arrival_ms(replace(sent, latency_ms={"fuse": 3.0}), 10**18 + 55 * MS) is None
    assert after_arrival_ms(replace(sent, timestamp_wall_from="arrival"), 10**18 + 12 * MS) == pytest.approx(12)


def test_the_newest_exposure_is_that_of_the_latest_frame():
    made = header(3)
    assert newest_exposure(replace(made, sources=())) is None
    dark, bright = made.sources
    assert newest_exposure(made) == (0 if dark.seq > bright.seq else 1)
    assert newest_exposure(replace(made, sources=(replace(dark, seq=99), bright))) == 0
