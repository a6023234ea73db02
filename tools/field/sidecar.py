"""The sidecar of an object, data/NAME.json in its bag: what each key is (docs/sidecar.md, sidecar.schema.json).

The models are the definition: the JSON Schema and the page are made from them, and `livemef shoot verify` reads each
sidecar by them. Keys that they do not know are left alone: a later livemef may add some.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LARGEST_BYTES = 16 << 20
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


def _is(text: str) -> Any:
    return Field(description=text)


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Camera(_Part):
    """The camera, as far as it says; "" = it does not."""

    uri: str = _is("source as in the configuration; file:// for imported pictures")
    name: str = _is("name for people")
    model: str = _is("maker's model")
    serial: str = _is("serial number")


class ReadCode(_Part):
    """A code in the picture."""

    format: str = _is("its kind, such as QR Code")
    text: str = _is("its text")


class MergedFrame(_Part):
    """One frame that was merged."""

    sequence: int = _is("running number of the camera's frames")
    timestamp_ns: int = _is("start of the exposure, nanoseconds of `clock`")
    clock: str = _is("of the time stamp: monotonic, realtime, boottime, ...; none = not known")
    index: int | None = _is("place in the bracket, 0 = darkest")
    label: Literal["metadata", "native", "brightness", "predicted", "none"] = _is("evidence for `index`")
    measured: str | None = _is("exposure that the camera reports for this frame; null = it reports none")


class Fusion(_Part):
    """How the fused picture was made."""

    model_sha256: str | None = _is("SHA-256 of the network's file; null = none was used")
    settings: dict[str, Any] = _is("fusion's settings, as in the configuration")


class Checks(_Part):
    """What was found while the object was taken."""

    changed: Share = _is("share of the picture that changed between the first and the last frame of an exposure")
    shift_px: NotNegative = _is("how far the picture moved meanwhile, pixels")
    warnings: list[str] = _is("what speaks for a retake, in words")


class ExposureStep(_Part):
    """From one exposure to the next brighter one."""

    stated: Annotated[float, Field(gt=0)] = _is("brighter over darker, as the camera states")
    measured: float | None = _is("the same from the pictures' light; null = too little was seen in both")


class Clock(_Part):
    """How far the time of day can be trusted."""

    synchronised: bool | None = _is("whether the system's clock was in step with a time server; null = not known")
    stepped_s: float = _is("by how many seconds it was set during the session")


class Files(_Part):
    """The object's pictures, relative to the sidecar's folder."""

    source: list[str] = _is("untouched exposures, bracket by bracket, darkest first")
    master: str = _is("the linear merge")
    access: list[str] = _is("the fused picture, TIFF and JPEG")


class Master(_Part):
    """How light became the master's codes."""

    encoding: str = _is("colour space of the codes")
    scale: Annotated[float, Field(gt=0)] = _is("factor on the merged light, the same for a session: set by its target")
    pixels_per_mm: Annotated[float, Field(gt=0)] | None = _is("in the target's plane; null = not known")
    target: str = _is("the target that has set the scale, a folder below targets/; empty = none")
    clipped_in_darkest: Share = _is("share of the picture that clips even in the darkest exposure")
    above_white: Share = _is("share of the picture that is brighter than the master's white, and cut there")


class Sidecar(_Part):
    """A sidecar of version 1."""

    format: Literal["livemef-object"] = _is("what this file is")
    version: Literal[1] = _is("of this schema")
    object: Annotated[str, Field(min_length=1)] = _is("the object's id, as scanned or typed")
    part: Annotated[int, Field(ge=1)] = _is("part of the object, from 1")
    note: str = _is("the operator's note")
    codes: list[ReadCode] = Field([], description="codes that were read in the picture, where the session reads them")
    operator: str = _is("who worked at the camera")
    taken: str = _is("date and time with zone, ISO 8601")
    software: str = _is("name and version of the program")
    camera: Camera = _is("the camera")
    automatic: list[str] = _is("what the camera adjusted by itself")
    rig: str = _is("the session's rig")
    lamp: str = _is("the session's light, in words")
    source_kind: Literal["raw", "developed", "imported"] = _is(
        "sources: as the sensor gave them; as the camera developed them; or files from another camera"
    )
    exposures: list[str] = _is("the exposures that were asked for, darkest first")
    frames_merged: list[MergedFrame] = _is("every frame in the master")
    profile: str = _is("file of the camera's profile that was applied; empty = none")
    profile_sha256: Sha256 = Field("", description="SHA-256 of that file as it was applied; empty = none")
    fusion: Fusion = _is("how the fused picture was made")
    checks: Checks = _is("what was found while it was taken")
    exposure_steps: list[ExposureStep] = _is("neighbouring exposures compared, darkest first")
    clock: Clock = _is("how far `taken` can be trusted")
    files: Files = _is("the pictures")
    master: Master = _is("how light became the master's codes")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a sidecar."""
    return {"$schema": SCHEMA_ID, **Sidecar.model_json_schema()}


def keys(model: type[BaseModel] = Sidecar, before: str = "") -> Iterator[tuple[str, str]]:
    """Every key, with dots between levels and [] behind a list, and what it is."""
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        is_list = "[]" if "list[" in str(field.annotation) else ""
        yield f"{before}{name}{is_list}", str(field.description)
        if inner is not None:
            yield from keys(inner, f"{before}{name}{is_list}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field is, or is a list of."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)


def sidecar_problem(bag: Path) -> str:
    """What is wrong with the sidecar in an object's bag; "" = it is as its schema says."""
    path = bag / "data" / f"{bag.name}.json"
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return f"data/{path.name}: is larger than 16 MiB: no sidecar"
        Sidecar.model_validate_json(path.read_bytes())
    except OSError as error:
        return f"data/{path.name}: {error.strerror}"
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"data/{path.name}: {place or 'JSON'}: {first['msg']} (docs/sidecar.md)"
    return ""
