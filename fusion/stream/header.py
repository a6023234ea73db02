"""What a message says of its picture: the header's fields, their limits, and how a bracket fills them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from livemef.capture.frame import Bracket, Exposure, FrameRecord, LabelSource, Verdict
from livemef.fusion.motion.compensation import MotionReport
from livemef.fusion.stream.codecs import Codec, Encoding

VERSION = 1
LONGEST_SIDE = 65535
PLAUSIBLE_AGE_NS = 10_000_000_000
"""A sensor time further than this from its frame's arrival is not this machine's time of now (a recording's,
a device's own).
"""

Text = Annotated[str, Field(max_length=256)]
Whole = Annotated[int, Field(ge=0, le=2**63 - 1)]
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Scalar = bool | int | Number | Annotated[str, Field(max_length=4096)] | None

_STRICT = ConfigDict(strict=True, allow_inf_nan=False, revalidate_instances="always", validate_default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceExposure:
    """Exposure time in microseconds and analogue gain (linear)."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    exposure_us: Positive
    gain: Positive = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One frame that went into a picture."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    seq: Whole
    timestamp_ns: Whole
    clock: Text
    requested: SourceExposure | None = None
    measured: SourceExposure | None = None
    label_source: LabelSource = LabelSource.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What was done about motion between the source frames.

    reference: index of the frame whose moment the picture shows. share: part of the picture, 0..1, that shows it
    alone. shift_px: how far the other frames were moved, right and down (the farthest, if there are several).
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    reference: Whole
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    shift_px: tuple[Number, Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Frames counted since the pipeline began: what became of them."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    captured: Whole = 0
    labelled: Whole = 0
    transitional: Whole = 0
    dropped: Whole = 0
    fused: Whole = 0
    published: Whole = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All that a message says of its picture; docs/wire.md describes each field.

    Who makes a picture fills the first group. `encode` fills `width` to `codec` from the pixels, and the
    publisher `stream` and `published_wall_ns`. All `_ns` are nanoseconds; "wall" is CLOCK_REALTIME (Unix
    time); `step` is bytes a row.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    seq: Whole
    timestamp_ns: Whole
    clock: Text
    timestamp_wall_ns: Whole
    timestamp_wall_from: Literal["sensor", "arrival"] = "sensor"
    frame_id: Text = "camera"
    sources: Annotated[tuple[Source, ...], Field(max_length=64)] = ()
    ev_gap: Number | None = None
    verdict: Verdict = Verdict.GOOD
    epoch: Whole = 0
    latency_ms: dict[Text, Number] = field(default_factory=dict)
    model_sha256: Text = ""
    device: Text = ""
    fusion: dict[Text, Scalar] = field(default_factory=dict)
    motion: Motion | None = None
    profile: Text = ""
    pipeline: Pipeline = Pipeline()

    version: Annotated[int, Field(ge=1)] = VERSION
    stream: Text = ""
    published_wall_ns: Whole = 0
    width: Side = 0
    height: Side = 0
    encoding: Encoding = "bgr8"
    step: Annotated[int, Field(ge=1, le=LONGEST_SIDE * 16)] = 0
    codec: Codec = "raw"


def bracket_header(
    bracket: Bracket,
    seq: int,
    *,
    frame_id: str = "camera",
    latency_ms: Mapping[str, float] | None = None,
    model_sha256: str = "",
    device: str = "",
    fusion: Mapping[str, Scalar] | None = None,
    motion: Motion | None = None,
    profile: str = "",
    pipeline: Pipeline | None = None,
) -> Header:
    """The header of the picture fused from `bracket`: number `seq`, stamped with the time of the bracket's
    newest frame.
    """
    newest = bracket.newest
    wall_ns, wall_from = wall_time(newest, time.monotonic_ns(), time.time_ns(), clock_now_ns(newest.clock))
    return Header(
        seq=seq,
        timestamp_ns=newest.timestamp_ns,
        clock=newest.clock,
        timestamp_wall_ns=wall_ns,
        timestamp_wall_from=wall_from,
        frame_id=frame_id,
        sources=tuple(source_of(record) for record in bracket.records),
        ev_gap=bracket.ev_gap,
        verdict=bracket.verdict,
        epoch=newest.epoch,
        latency_ms=dict(latency_ms or {}),
        model_sha256=model_sha256,
        device=device,
        fusion=dict(fusion or {}),
        motion=motion,
        profile=profile,
        pipeline=pipeline or Pipeline(),
    )


def exposure_header(fused: Header, index: int) -> Header:
    """The header of topic `exposure/INDEX`: source frame `index` of the fused picture, under the fused
    picture's number.
    """
    source = fused.sources[index]
    same_clock = source.clock == fused.clock
    shift_ns = source.timestamp_ns - fused.timestamp_ns if same_clock else 0
    return replace(
        fused,
        timestamp_ns=source.timestamp_ns,
        clock=source.clock,
        timestamp_wall_ns=fused.timestamp_wall_ns + shift_ns,
        sources=(source,),
    )


def motion_of(report: MotionReport | None) -> Motion | None:
    """The header's field `motion`; None where motion is off."""
    return None if report is None else Motion(reference=report.reference, share=report.share, shift_px=report.shift)


def source_of(record: FrameRecord) -> Source:
    """What the wire says of a source frame."""
    return Source(
        seq=record.sequence,
        timestamp_ns=record.timestamp_ns,
        clock=record.clock,
        requested=_exposure(record.requested),
        measured=_exposure(record.measured),
        label_source=record.label_source,
    )


def _exposure(exposure: Exposure | None) -> SourceExposure | None:
    return None if exposure is None else SourceExposure(exposure_us=exposure.exposure_us, gain=exposure.gain)


def wall_time(
    record: FrameRecord, monotonic_now_ns: int, wall_now_ns: int, clock_now: int | None
) -> tuple[int, Literal["sensor", "arrival"]]:
    """A frame's sensor time in Unix nanoseconds, and what it was worked out from.

    `clock_now` is the present time on the record's own clock, None where this machine cannot read it. A
    sensor time that cannot be translated, or lies implausibly far from the frame's arrival, gives way to the
    time of arrival.
    """
    arrived_ago_ns = monotonic_now_ns - record.received_ns
    if clock_now is not None:
        ago_ns = clock_now - record.timestamp_ns
        if abs(ago_ns - arrived_ago_ns) <= PLAUSIBLE_AGE_NS:
            return wall_now_ns - ago_ns, "sensor"
    return wall_now_ns - arrived_ago_ns, "arrival"


def clock_now_ns(clock: str) -> int | None:
    """The present time on the clock of that name; None for a clock that this machine cannot read."""
    clocks = {"monotonic": "CLOCK_MONOTONIC", "boottime": "CLOCK_BOOTTIME", "realtime": "CLOCK_REALTIME"}
    number = getattr(time, clocks.get(clock, ""), None)
    return None if number is None else time.clock_gettime_ns(number)
