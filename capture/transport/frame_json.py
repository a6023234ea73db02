"""Frame records, camera descriptions and exposures as plain JSON values, and back, losing nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, FrameFlag, FrameRecord, LabelSource

Json = dict[str, Any]


def exposure_to_dict(exposure: Exposure) -> Json:
    """{"exposure_us": ..., "gain": ...}."""
    return {"exposure_us": exposure.exposure_us, "gain": exposure.gain}


def exposure_from_dict(data: Mapping[str, Any]) -> Exposure:
    """The inverse of exposure_to_dict. Raises CaptureError if `data` is no exposure."""
    try:
        return Exposure(float(data["exposure_us"]), float(data["gain"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"not an exposure: {data!r} ({_what(error)})") from None


def record_to_dict(record: FrameRecord) -> Json:
    """Every field of the record under its own name; enums by value, flags as a list of names."""
    data = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    for name in ("measured", "requested"):
        data[name] = None if data[name] is None else exposure_to_dict(data[name])
    data["label_source"] = record.label_source.value
    data["flags"] = [flag.name for flag in FrameFlag if flag and flag in record.flags]
    return data


def record_from_dict(data: Mapping[str, Any]) -> FrameRecord:
    """The inverse of record_to_dict. Unknown keys are ignored; raises CaptureError for anything malformed."""
    known = {field.name: data[field.name] for field in dataclasses.fields(FrameRecord) if field.name in data}
    try:
        for name in ("measured", "requested"):
            known[name] = exposure_from_dict(known[name]) if known.get(name) is not None else None
        known["label_source"] = LabelSource(known.get("label_source", LabelSource.NONE.value))
        flags = FrameFlag.NONE
        for name in known.get("flags", []):
            flags |= FrameFlag[name]
        known["flags"] = flags
        for name in ("sequence", "timestamp_ns", "received_ns"):
            known[name] = int(known[name])
        return FrameRecord(**known)
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"not a frame record: {_what(error)}") from None


def info_to_dict(info: CameraInfo) -> Json:
    """Every field of the camera description under its own name."""
    data = dataclasses.asdict(info)
    data["plan"] = [exposure_to_dict(exposure) for exposure in info.plan]
    return data


def info_from_dict(data: Mapping[str, Any]) -> CameraInfo:
    """The inverse of info_to_dict. Unknown keys are ignored; raises CaptureError for anything malformed."""
    try:
        known = {field.name: data[field.name] for field in dataclasses.fields(CameraInfo) if field.name in data}
        known["limits"] = CameraLimits(**known["limits"])
        known["plan"] = tuple(exposure_from_dict(exposure) for exposure in known.get("plan", ()))
        known["automatic"] = tuple(known.get("automatic", ()))
        return CameraInfo(**known)
    except (KeyError, TypeError) as error:
        raise CaptureError(f"not a camera description: {_what(error)}") from None


def _what(error: Exception) -> str:
    return f"{error.args[0]!r} is missing or unknown" if isinstance(error, KeyError) else str(error)
