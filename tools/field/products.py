"""The files of an object: untouched sources, the linear merge as a colorimetric master, the fused picture for looking.

The fused picture is never the master: fusion changes tones on purpose (dE00 4 to 10 against 0.04 of the merge, on a
simulated ColorChecker).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.bracketing.plan import describe
from livemef.capture.cameras.base import CameraInfo
from livemef.capture.files.archival_tiff import TiffMetadata, write_archival_tiff
from livemef.capture.files.colour_space import LSTAR_RGB, SRGB, ColourSpace
from livemef.capture.files.dng import DngCamera, write_dng
from livemef.capture.files.icc import icc_profile
from livemef.capture.files.image_io import to_8_bit, write_picture
from livemef.capture.files.xmp import DigitalSource, XmpDescription, xmp_packet
from livemef.capture.frame import Frame, FrameRecord, Pixels
from livemef.fusion.fuser import Fuser
from livemef.tools.field.clock import ClockState
from livemef.tools.field.codes import Code
from livemef.tools.field.project import Project
from livemef.tools.field.take import Take

_LSTAR_STEPS = 1 << 16
WRITERS = 2


@dataclass(frozen=True)
class Subject:
    """What is pictured, by whom, and when: goes into every file. when: with its time zone. part: of the object.

    codes: that were read in the picture.
    """

    object_id: str
    name: str
    operator: str
    when: datetime
    note: str = ""
    part: int = 1
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where the exposures came from. files: imported ones, as they are. dng: the camera, where it gives raw frames.

    automatic: what the camera did by itself that should have been off. profile_sha256: of the file of the profile that
    corrects them, "" = none does.
    """

    uri: str
    name: str
    model: str = ""
    serial: str = ""
    automatic: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    dng: DngCamera | None = None
    profile_sha256: str = ""

    @classmethod
    def of_camera(cls, info: CameraInfo, dng: DngCamera | None = None) -> Origin:
        """A live camera."""
        return cls(info.uri, info.name, info.model, info.serial, info.automatic, dng=dng)

    @property
    def kind(self) -> str:
        """Of the sources: "imported", "raw" (frames as the sensor gave them), or "developed" by the camera."""
        return "imported" if self.files else "developed" if self.dng is None else "raw"


@dataclass(frozen=True)
class Standard:
    """What a session's target has set. scale: factor on the merged light before it is encoded, the same for a whole
    session. pixels_per_mm: in the target's plane, None = not known. target: its name, "" = none was taken.
    """

    scale: float = 1.0
    pixels_per_mm: float | None = None
    target: str = ""


def write_products(
    folder: Path,
    subject: Subject,
    taken: Take,
    fuser: Fuser,
    project: Project,
    origin: Origin,
    standard: Standard,
    clock: ClockState,
) -> None:
    """Write all files of an object into a folder, its sidecar last. clock: how far the time of day can be trusted."""
    for role in ("source", "master", "access"):
        (folder / role).mkdir()
    light = taken.merged.light * np.float32(standard.scale)
    first = taken.sources[0]
    with ThreadPoolExecutor(WRITERS, "writing") as threads:
        writer = _Writer(folder, subject, project, origin, standard.pixels_per_mm, threads)
        sources = [writer.copied(file) for file in origin.files] or [
            writer.source(frame, bracket, place)
            for bracket, frames in enumerate(taken.sources, 1)
            for place, frame in enumerate(frames, 1)
        ]
        master = writer.tiff("master", "merged", lambda: master_codes(light), LSTAR_RGB, sources, len(taken.records))
        fused = fuser.fuse([frame.pixels for frame in first]).pixels
        access = writer.tiff("access", "fused", lambda: fused, SRGB, sources[: len(first)], len(first))
        jpeg = f"access/{subject.name}_fused.jpg"
        small = _at_most(to_8_bit(fused), project.access.jpeg_long_side)
        write_picture(folder / jpeg, small, srgb=True, jpeg_quality=project.access.jpeg_quality)
        writer.finish()
    sidecar = _sidecar(subject, taken, fuser, project, origin) | {
        "clock": {"synchronised": clock.synchronised, "stepped_s": clock.stepped_s},
        "files": {"source": [name for name, _ in sources], "master": master[0], "access": [access[0], jpeg]},
        "master": {
            "encoding": LSTAR_RGB.name,
            "scale": standard.scale,
            "pixels_per_mm": standard.pixels_per_mm,
            "target": standard.target,
            "clipped_in_darkest": round(taken.merged.clipped, 6),
            "above_white": round(_share_above_white(light), 6),
        },
    }
    (folder / f"{subject.name}.json").write_text(json.dumps(sidecar, indent=1, ensure_ascii=False), encoding="utf-8")


def _share_above_white(light: NDArray[np.float32]) -> float:
    blue, green, red = cv2.split(light)
    return float(np.count_nonzero(cv2.max(cv2.max(blue, green), red) > 1)) / blue.size


def master_codes(light: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Linear light (BGR, sRGB's primaries, 1 = white) as 16-bit codes of L*-RGB; what lies outside 0..1 is cut off."""
    matrix = (np.linalg.inv(LSTAR_RGB.to_xyz) @ SRGB.to_xyz)[::-1, ::-1]
    inside = np.clip(cv2.transform(light, matrix.astype(np.float32)), 0, 1)
    table = np.interp(
        np.linspace(0, 1, _LSTAR_STEPS) ** 2,  # the square root spreads the entries as the eye does
        LSTAR_RGB.curves[1](np.linspace(0, 1, 4 * _LSTAR_STEPS)),
        np.linspace(0, 65535, 4 * _LSTAR_STEPS),
    )
    places = np.rint(np.sqrt(inside) * (_LSTAR_STEPS - 1)).astype(np.int32)
    return np.asarray(np.rint(table).astype(np.uint16)[places])


@dataclass(frozen=True)
class _Named:
    """A file of the object: its path in the folder, and its document id."""

    role: str
    ending: str
    path: str
    document: str


@dataclass(frozen=True)
class _Writer:
    """Writes the files of an object in threads: while one waits for the disk, another prepares its pixels."""

    folder: Path
    subject: Subject
    project: Project
    origin: Origin
    pixels_per_mm: float | None
    threads: ThreadPoolExecutor
    under_way: list[Future[None]] = field(default_factory=list)

    def finish(self) -> None:
        """Wait until all files are written. Raises what writing any of them failed with."""
        for future in self.under_way:
            future.result()

    def copied(self, file: Path) -> tuple[str, str]:
        """File name and document id of an imported picture, copied byte for byte."""
        name = f"source/{file.name}"
        shutil.copyfile(file, self.folder / name)
        return name, f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"

    def source(self, frame: Frame, bracket: int, place: int) -> tuple[str, str]:
        """File name and document id of an exposure, written as the camera delivered it."""
        exposure = frame.record.exposure
        time_us = None if exposure is None else exposure.exposure_us
        raw = None if self.origin.dng is None else frame.mosaic
        named = self._named("source", f"b{bracket:02d}_e{place}", "tif" if raw is None else "dng")
        metadata = self._metadata(named, b"", [], "digitalCapture", time_us, None)
        path, dng = self.folder / named.path, self.origin.dng

        def write() -> None:
            if raw is None or dng is None:
                write_archival_tiff(path, frame.pixels, metadata)
            else:
                write_dng(path, raw, dng, metadata)

        self.under_way.append(self.threads.submit(write))
        return named.path, named.document

    def tiff(
        self,
        role: str,
        ending: str,
        pixels: Callable[[], Pixels],
        space: ColourSpace,
        sources: list[tuple[str, str]],
        frames: int,
    ) -> tuple[str, str]:
        """File name and document id of a picture made of several. pixels: computes them, in the thread that writes."""
        named = self._named(role, ending, "tif")
        metadata = self._metadata(named, icc_profile(space), sources, "computationalCapture", None, (frames, frames))
        path = self.folder / named.path
        self.under_way.append(self.threads.submit(lambda: write_archival_tiff(path, pixels(), metadata)))
        return named.path, named.document

    def _named(self, role: str, ending: str, suffix: str) -> _Named:
        return _Named(role, ending, f"{role}/{self.subject.name}_{ending}.{suffix}", f"uuid:{uuid.uuid4()}")

    def _metadata(
        self,
        named: _Named,
        icc: bytes,
        sources: list[tuple[str, str]],
        kind: DigitalSource,
        exposure_us: float | None,
        composite: tuple[int, int] | None,
    ) -> TiffMetadata:
        tool = f"livemef {version('livemef')}"
        xmp = XmpDescription(
            identifier=self.subject.object_id,
            document_id=named.document,
            source=kind,
            tool=tool,
            title=self.subject.object_id,
            creator=self.subject.operator,
            rights=self.project.institution.rights,
            ingredients=sources,
            own={"role": named.role, "note": self.subject.note, "camera": self.origin.name},
        )
        when = self.subject.when
        return TiffMetadata(
            description=f"{self.subject.name} {named.role} {named.ending}",
            software=tool,
            taken=when.strftime("%Y:%m:%d %H:%M:%S"),
            offset=when.isoformat()[-6:],
            make="livemef",
            model=self.origin.name,
            icc=icc,
            xmp=xmp_packet(xmp),
            exposure_us=exposure_us,
            composite=composite,
            pixels_per_mm=self.pixels_per_mm,
        )


def _at_most(picture: Pixels, long_side: int) -> Pixels:
    height, width = picture.shape[:2]
    if max(height, width) <= long_side:
        return picture
    factor = long_side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _sidecar(subject: Subject, taken: Take, fuser: Fuser, project: Project, origin: Origin) -> dict[str, Any]:
    return {
        "format": "livemef-object",
        "version": 1,
        "object": subject.object_id,
        "part": subject.part,
        "note": subject.note,
        "codes": [asdict(code) for code in subject.codes],
        "operator": subject.operator,
        "taken": subject.when.isoformat(),
        "software": f"livemef {version('livemef')}",
        "camera": {"uri": origin.uri, "name": origin.name, "model": origin.model, "serial": origin.serial},
        "automatic": list(origin.automatic),
        "rig": project.session.rig,
        "lamp": project.session.lamp,
        "source_kind": origin.kind,
        "exposures": [describe(exposure) for exposure in taken.plan],
        "frames_merged": [_record(record) for record in taken.records],
        "profile": project.capture.profile,
        "profile_sha256": origin.profile_sha256,
        "fusion": {"model_sha256": fuser.model_sha256, "settings": fuser.settings.as_dict()},
        "checks": {
            "changed": round(taken.still.changed, 6),
            "shift_px": round(taken.still.shift_px, 2),
            "warnings": list(taken.warnings),
        },
        "exposure_steps": [
            {"stated": step.stated, "measured": None if np.isnan(step.measured) else step.measured}
            for step in taken.merged.comparisons
        ],
    }


def _record(record: FrameRecord) -> dict[str, Any]:
    measured = None if record.measured is None else describe(record.measured)
    return {
        "sequence": record.sequence,
        "timestamp_ns": record.timestamp_ns,
        "clock": record.clock,
        "index": record.index,
        "label": record.label_source.value,
        "measured": measured,
    }
