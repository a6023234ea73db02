"""Headers, pictures and keys that the tests of the stream share."""

from pathlib import Path

import numpy as np

from livemef.capture.frame import Verdict
from livemef.fusion.errors import FusionError
from livemef.fusion.stream.header import Header, LabelSource, Motion, Pipeline, Source, SourceExposure
from livemef.fusion.stream.keys import KeyFolder


def header(seq=7, **changes):
    fields = {
        "seq": seq,
        "timestamp_ns": 123_456_789_000,
        "clock": "boottime",
        "timestamp_wall_ns": 1_700_000_000_000_000_001,
        "timestamp_wall_from": "sensor",
        "frame_id": "camera",
        "sources": (
            Source(
                seq=41,
                timestamp_ns=123_423_456_000,
                clock="boottime",
                requested=SourceExposure(exposure_us=1000.0),
                measured=SourceExposure(exposure_us=999.5, gain=1.0),
                label_source=LabelSource.METADATA,
            ),
            Source(seq=42, timestamp_ns=123_456_789_000, clock="boottime", label_source=LabelSource.PREDICTED),
        ),
        "ev_gap": 4.0,
        "verdict": Verdict.PREDICTED,
        "epoch": 2,
        "latency_ms": {"lightness": 1.25, "network": 13.5},
        "model_sha256": "ab" * 32,
        "device": "cpu",
        "fusion": {"network_lines": 135, "gamma": "adaptive", "blend": 0.5, "select": True},
        "settings_rev": 12,
        "motion": Motion(reference=1, share=0.125, shift_px=(1.5, -0.25)),
        "pipeline": Pipeline(captured=100, labelled=98, transitional=2, dropped=1, fused=97, published=97),
    }
    return Header(**{**fields, **changes})


def ramp(dtype=np.uint8, height=3, width=5):
    """A small picture in which every sample differs from its neighbours."""
    samples = np.arange(height * width * 3, dtype=np.int64) * 37
    return (samples % np.iinfo(dtype).max).astype(dtype).reshape(height, width, 3)


def flat(colour, height=120, width=160):
    return np.full((height, width, 3), colour, np.uint8)


def outcome(action):
    """What `action` returns, or the FusionError that it raises; any other exception goes through."""
    try:
        return action()
    except FusionError as error:
        return error


def new_keys(folder: Path, name: str) -> KeyFolder:
    """A folder NAME in `folder` with a new pair of keys of that name."""
    keys = KeyFolder(folder / name)
    keys.create(name)
    return keys
