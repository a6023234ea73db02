"""Where the time between a frame's exposure and its picture's receipt goes."""

from __future__ import annotations

from livemef.capture.frame import FrameRecord
from livemef.fusion.stream.header import PLAUSIBLE_AGE_NS, Header

EXPOSURE, READOUT = "exposure", "readout"
"""Entries of a header's `latency_ms` for the time before the frame reached the computer."""


def before_arrival_ms(record: FrameRecord, monotonic_now_ns: int, clock_now: int | None) -> dict[str, float]:
    """EXPOSURE and READOUT of a frame.

    EXPOSURE: from the sensor's time stamp to the end of the first row's exposure; absent where the stamp is taken then.
    READOUT: from then until the frame was here, which is reading out its rows and their way.

    clock_now: present time (ns) on the record's clock, None = this machine cannot read it. Empty where unknown.
    """
    if clock_now is None or record.exposure is None:
        return {}
    arrived_ns = clock_now - (monotonic_now_ns - record.received_ns)
    exposure_ns = round(record.exposure.exposure_us * 1e3) if record.timestamp_reference == "start" else 0
    readout_ns = arrived_ns - record.timestamp_ns - exposure_ns
    if not 0 <= readout_ns <= PLAUSIBLE_AGE_NS:
        return {}
    exposure = {EXPOSURE: exposure_ns / 1e6} if exposure_ns else {}
    return {**exposure, READOUT: readout_ns / 1e6}


def after_arrival_ms(header: Header, received_wall_ns: int) -> float | None:
    """Milliseconds from the newest frame's last row to the picture's receipt; None where the header does not say it."""
    since_ms = (received_wall_ns - header.timestamp_wall_ns) / 1e6
    if header.timestamp_wall_from == "arrival":
        return since_ms
    if READOUT not in header.latency_ms:
        return None
    return since_ms - header.latency_ms.get(EXPOSURE, 0.0) - header.latency_ms[READOUT]


def newest_exposure(header: Header) -> int | None:
    """Place in the bracket, 0 = darkest, of the frame that completed it; None if the header names no frames."""
    if not header.sources:
        return None
    return max(range(len(header.sources)), key=lambda index: header.sources[index].seq)
