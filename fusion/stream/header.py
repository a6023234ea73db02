"""The header of a message: its fields, their limits, and how it is made for a bracket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from livemef.capture.frame import Bracket, Exposure, FrameRecord, LabelSource, Verdict
from livemef.fusion.motion.compensation import MotionReport
from livemef.fusion.stream.codecs import Codec, Encoding, MosaicEncoding

VERSION = 1
LONGEST_SIDE = 65535
PLAUSIBLE_AGE_NS = 10_000_000_000
"""A sensor time further than this from its frame's arrival is not a present time of this machine's clock, but that of a
recording or of the device.
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
    """A source frame of a fused picture. timestamp_ns: sensor time on `clock`. requested, measured: None = unknown."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    seq: Whole
    timestamp_ns: Whole
    clock: Text
    requested: SourceExposure | None = None
    measured: SourceExposure | None = None
    label_source: LabelSource = LabelSource.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Result of motion compensation between the source frames.

    reference: index of the reference frame, whose moment the picture shows. share: part of the picture (0..1) that
    shows the reference frame alone. shift_px: registration shift of the other frame, right and down (the largest, if
    there are several).
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    reference: Whole
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    shift_px: tuple[Number, Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class MosaicLevels:
    """What is needed to develop a raw frame; see `livemef.capture.frame.Mosaic`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    black: Annotated[float, Field(ge=0, le=65535, allow_inf_nan=False)]
    white: Annotated[float, Field(gt=0, le=65535, allow_inf_nan=False)]
    red_gain: Positive = 1.0
    blue_gain: Positive = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Counters of frames since the pipeline started; docs/wire.md defines each."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    captured: Whole = 0
    labelled: Whole = 0
    transitional: Whole = 0
    dropped: Whole = 0
    fused: Whole = 0
    published: Whole = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of a message; docs/wire.md defines each field.

    The maker of a picture sets the first group. The publisher sets the second: `stream`, `published_wall_ns`, `codec`,
    and `width` to `step` and `mosaic` from the pixels. All `_ns` are nanoseconds; "wall" is CLOCK_REALTIME (Unix time);
    `step` is bytes a row. Limits are checked when the header is encoded or decoded.
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
    settings_rev: Whole = 0
    motion: Motion | None = None
    profile: Text = ""
    correction: Annotated[tuple[Text, ...], Field(max_length=16)] = ()
    pipeline: Pipeline = Pipeline()

    version: Annotated[int, Field(ge=1)] = VERSION
    stream: Text = ""
    published_wall_ns: Whole = 0
    width: Side = 0
    height: Side = 0
    encoding: Encoding | MosaicEncoding = "bgr8"
    step: Annotated[int, Field(ge=1, le=LONGEST_SIDE * 16)] = 0
    codec: Codec = "raw"
    mosaic: MosaicLevels | None = None


def bracket_header(
    bracket: Bracket,
    seq: int,
    *,
    frame_id: str = "camera",
    latency_ms: Mapping[str, float] | None = None,
    model_sha256: str = "",
    device: str = "",
    fusion: Mapping[str, Scalar] | None = None,
    settings_rev: int = 0,
    motion: Motion | None = None,
    profile: str = "",
    correction: tuple[str, ...] = (),
    pipeline: Pipeline | None = None,
) -> Header:
    """The header of the picture fused from `bracket`, with number `seq` and the time stamp of the newest frame."""
    newest = bracket.newest
    wall_ns, wall_from = present_wall_time(newest)
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
        settings_rev=settings_rev,
        motion=motion,
        profile=profile,
        correction=correction,
        pipeline=pipeline or Pipeline(),
    )


def exposure_header(fused: Header, index: int) -> Header:
    """The header for topic `exposure/INDEX`, of source frame `index`; `seq` is the fused picture's."""
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
    """The header's `Source` of a frame."""
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
    """A frame's sensor time as Unix time (ns), and its origin: "sensor", or "arrival" if that had to stand in.

    clock_now: present time (ns) on the record's clock; None = this machine cannot read it. The time of arrival is used
    if the sensor time cannot be converted, or is further than PLAUSIBLE_AGE_NS from the arrival.
    """
    arrived_ago_ns = monotonic_now_ns - record.received_ns
    if clock_now is not None:
        ago_ns = clock_now - record.timestamp_ns
        if abs(ago_ns - arrived_ago_ns) <= PLAUSIBLE_AGE_NS:
            return wall_now_ns - ago_ns, "sensor"
    return wall_now_ns - arrived_ago_ns, "arrival"


def present_wall_time(record: FrameRecord) -> tuple[int, Literal["sensor", "arrival"]]:
    """`wall_time` of a frame by this machine's clocks, now."""
    return wall_time(record, time.monotonic_ns(), time.time_ns(), clock_now_ns(record.clock))


def clock_now_ns(clock: str) -> int | None:
    """Present time (ns) on the clock of that name; None if this machine cannot read it."""
    number = _CLOCKS.get(clock)
    return None if number is None else time.clock_gettime_ns(number)


_CLOCKS = {
    name: getattr(time, constant)
    for name, constant in (
        ("monotonic", "CLOCK_MONOTONIC"),
        ("boottime", "CLOCK_BOOTTIME"),
        ("realtime", "CLOCK_REALTIME"),
    )
    if hasattr(time, constant)
}
