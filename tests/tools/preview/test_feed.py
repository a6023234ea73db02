"""Latencies by the exposure that completed the bracket: a long one is not averaged with a short one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from livemef.fusion.stream.header import Header, Source, SourceExposure
from livemef.tools.preview.feed import Feed


def header(newest: int, exposure_ms: float, since_last_row_ms: float) -> Header:
    """Of a bracket that exposure `newest` completed; 20 ms to read its rows."""
    sources = tuple(
        Source(
            seq=10 if index == newest else 9,
            timestamp_ns=0,
            clock="monotonic",
            requested=None,
            measured=SourceExposure(exposure_us=1000.0, gain=1.0),
            label_source="metadata",
        )
        for index in range(2)
    )
    stamp_ns = time.time_ns() - round((exposure_ms + 20.0 + since_last_row_ms) * 1e6)
    stages = {"exposure": exposure_ms, "readout": 20.0}
    return Header(
        seq=1, timestamp_ns=0, clock="monotonic", timestamp_wall_ns=stamp_ns, sources=sources, latency_ms=stages
    )


def test_short_and_long_exposures_apart(tmp_path: Path) -> None:
    async def fed() -> dict[str, object]:
        feed = Feed(f"sub+connect:ipc://{tmp_path}/nobody")
        try:
            for _ in range(5):
                feed._note_latency(header(0, 1.0, 1000.0))
                feed._note_latency(header(1, 16.0, 2000.0))
            return feed.stats()
        finally:
            feed.close()

    by_exposure = asyncio.run(fed())["after_readout_by_exposure_ms"]
    assert isinstance(by_exposure, dict)
    assert list(by_exposure) == ["0", "1"]
    assert by_exposure["0"] == pytest.approx(1000.0, abs=400.0)  # a slow machine adds to it
    assert by_exposure["1"] == pytest.approx(2000.0, abs=400.0)
