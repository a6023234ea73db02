"""Frame records, camera descriptions and exposures as plain JSON values, and back, losing nothing.

What is read may come from anybody's recording: types and ranges are checked, strictly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.errors import CaptureError
from livemef.capture.frame import Exposure, FrameFlag, FrameRecord, LabelSource, Mosaic

Json = dict[str, Any]


def exposure_to_dict(exposure: Exposure) -> Json:
    """{"exposure_us": ..., "gain": ...}."""
    return {"exposure_us": exposure.exposure_us, "gain": exposure.gain}


def record_to_dict(record: FrameRecord) -> Json:
    """Every field of the record under its own name; enums by value, flags as a list of names."""
    data = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    for name in ("measured", "requested"):
        data[name] = None if data[name] is None else exposure_to_dict(data[name])
    data["label_source"] = record.label_source.value
    data["flags"] = [flag.name for flag in FrameFlag if flag and flag in record.flags] if record.flags else []
    return data


def record_from_dict(data: Mapping[str, Any]) -> FrameRecord:
    """The inverse of record_to_dict. Unknown keys are ignored; raises CaptureError for anything malformed."""
    read = _read(_Record, data, "a frame record")
    known: Json = {name: getattr(read, name) for name in read.model_fields_set}
    for name in ("measured", "requested"):
        known[name] = None if known.get(name) is None else known[name].exposure()
    try:
        known["label_source"] = LabelSource(read.label_source)
        known["flags"] = FrameFlag.NONE
        for name in read.flags:
            known["flags"] |= FrameFlag[name]
    except (KeyError, ValueError) as error:
        raise CaptureError(f"not a frame record: {error} is not known") from None
    return FrameRecord(**known)


def mosaic_to_dict(mosaic: Mosaic) -> Json:
    """Size, dtype and levels of a raw frame, without its values."""
    height, width = mosaic.values.shape
    return {
        "height": height,
        "width": width,
        "dtype": mosaic.values.dtype.name,
        "order": mosaic.order,
        "black": float(mosaic.black),
        "white": float(mosaic.white),
        "red_gain": float(mosaic.red_gain),
        "blue_gain": float(mosaic.blue_gain),
    }


def mosaic_from_dict(data: Mapping[str, Any], values: Callable[[tuple[int, int], str], NDArray[Any]]) -> Mosaic:
    """The inverse of mosaic_to_dict. values: returns the array of a given shape and dtype.

    Raises CaptureError for anything malformed.
    """
    read = _read(_Mosaic, data, "a raw frame")
    found = values((read.height, read.width), read.dtype)
    return Mosaic(found, read.order, read.black, read.white, read.red_gain, read.blue_gain)


def info_to_dict(info: CameraInfo) -> Json:
    """Every field of the camera description under its own name."""
    data = dataclasses.asdict(info)
    data["plan"] = [exposure_to_dict(exposure) for exposure in info.plan]
    return data


def info_from_dict(data: Mapping[str, Any]) -> CameraInfo:
    """The inverse of info_to_dict. Unknown keys are ignored; raises CaptureError for anything malformed."""
    read = _read(_Info, data, "a camera description")
    known: Json = {name: getattr(read, name) for name in read.model_fields_set}
    known["limits"] = CameraLimits(**read.limits.model_dump())
    known["plan"] = tuple(exposure.exposure() for exposure in read.plan)
    known["automatic"] = tuple(read.automatic)
    return CameraInfo(**known)


Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Place = Annotated[int, Field(ge=0, le=255)]
Side = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, Field(max_length=4096)]
Factor = Annotated[float, Field(ge=1e-6, le=1e12, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Exposure(_Strict):
    exposure_us: Factor
    gain: Factor

    def exposure(self) -> Exposure:
        return Exposure(self.exposure_us, self.gain)


class _Record(_Strict):
    """A FrameRecord's fields; what may lack has that class's default."""

    sequence: Int64
    timestamp_ns: Int64
    clock: Text
    received_ns: Int64
    timestamp_reference: Literal["start", "end"] = "start"
    measured: _Exposure | None = None
    native_index: Place | None = None
    requested: _Exposure | None = None
    index: Place | None = None
    label_source: Text = LabelSource.NONE.value
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    epoch: Int64 = 0
    flags: Annotated[list[Text], Field(max_length=64)] = []
    black_level: Finite = 0.0
    white_level: Finite = 255.0
    response: Text = "unknown"
    relative_light: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    bracket_size: Place = 0


class _Mosaic(_Strict):
    height: Side
    width: Side
    dtype: Literal["uint8", "uint16"]
    order: Literal["", "RGGB", "BGGR", "GRBG", "GBRG"]
    black: Annotated[float, Field(ge=0, le=65535)]
    white: Annotated[float, Field(ge=1, le=65535)]
    red_gain: Factor
    blue_gain: Factor


class _Limits(_Strict):
    exposure_min_us: NotNegative
    exposure_max_us: NotNegative
    exposure_step_us: NotNegative = 0.0
    gain_min: NotNegative = 1.0
    gain_max: NotNegative = 1.0


class _Info(_Strict):
    """A CameraInfo's fields; what may lack has that class's default."""

    uri: Text
    name: Text
    width: Side
    height: Side
    dtype: Literal["uint8", "uint16"]
    fps: Annotated[float, Field(ge=0, le=1e6)]
    limits: _Limits
    exposure_delay: Place | None = None
    gain_delay: Place | None = None
    reports_exposure: bool = False
    can_request: bool = True
    paced: Literal["realtime", "fast", "stepped"] = "realtime"
    plan: Annotated[list[_Exposure], Field(max_length=64)] = []
    nominal_plan: bool = False
    automatic: Annotated[list[Text], Field(max_length=64)] = []
    model: Text = ""
    serial: Text = ""


Model = TypeVar("Model", bound=_Strict)


def _read(model: type[Model], data: Any, what: str) -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise CaptureError(f"not {what}: {where[:80]!r}: {first['msg'][:200]}") from None
