"""`livemef shoot import`: exposures from another camera become an object's record, the same as from our own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from livemef.calibration.correction import correction_and_sum
from livemef.capture.files.bracket_folder import BracketPictures, read_bracket
from livemef.capture.frame import Exposure, Frame, FrameRecord, LabelSource, Pixels
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.merge import merge
from livemef.fusion.motion.stillness import Stillness
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.exits import DONE, UserError
from livemef.tools.field.clock import ClockWatch
from livemef.tools.field.ids import checked_id
from livemef.tools.field.products import Origin, Standard, Subject, write_products
from livemef.tools.field.project import load_project
from livemef.tools.field.session import new_session
from livemef.tools.field.take import Take, typical_code


def import_command(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")],
    object_id: Annotated[str, typer.Argument(metavar="ID", help="The object's id.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES", help="Two or more exposures of it: TIFF, PNG, JPEG, raw files.")
    ],
    scale: Annotated[
        float, typer.Option("--scale", min=1e-6, help="Factor on the light: a target's, in its quality.json.")
    ] = 1.0,
) -> int:
    """Store exposures from another camera as an object: copied byte for byte, merged and fused.

    Exposures are as EXIF says. Raw files need pip install 'livemef[raw]'. Each import is a session of its own.

    Example: livemef shoot import museum KR-2026-000123 IMG_1.NEF IMG_2.NEF IMG_3.NEF
    """
    settings = load_project(project)
    checked = checked_id(object_id, settings.object.pattern)
    _refuse_same_names(files)
    bracket = read_bracket(files)
    correction, digest = correction_and_sum(settings.capture.profile)
    taken = _take(bracket, correction)
    fuser = open_fuser(replace(FusionSettings(), motion="off"), device="cpu")
    origin = Origin("file://", "imported", files=tuple(files), profile_sha256=digest)

    def write(folder: Path, name: str) -> dict[str, str]:
        when = datetime.now().astimezone().replace(microsecond=0)
        subject = Subject(checked, name, settings.session.operator, when)
        write_products(folder, subject, taken, fuser, settings, origin, Standard(scale), ClockWatch().state())
        return {"Source-Organization": settings.institution.name} if settings.institution.name else {}

    with closing(new_session(project.resolve(), f"{settings.session.rig}-import", settings.model_dump())) as session:
        place = session.store(checked, False, write)
    print(f"{checked}: stored in {place}" + "".join(f"; warning: {warning}" for warning in taken.warnings))
    return DONE


def _refuse_same_names(files: list[Path]) -> None:
    names = [file.name.lower() for file in files]
    for name in names:
        if not name.isprintable() or "%" in name:
            raise UserError(f"{name!r}: a record cannot hold a file of this name; rename it")
        if names.count(name) > 1:
            raise UserError(f"{name}: two of the files have this name; rename one")


def _take(bracket: BracketPictures, correction: CameraCorrection) -> Take:
    """The pictures as a take of one frame of each exposure. Raises UserError where EXIF gives no exposures."""
    if bracket.exposures is None:
        raise UserError("EXIF does not give the pictures different exposures: they cannot be merged")
    frames = tuple(map(_frame, range(len(bracket.pixels)), bracket.exposures, bracket.pixels))
    merged = merge([exposure.light for exposure in bracket.exposures], bracket.pixels, correction)
    brightest = typical_code(bracket.pixels[-1])
    records = tuple(frame.record for frame in frames)
    return Take(tuple(bracket.exposures), (frames,), merged, Stillness(), 1, brightest, records)


def _frame(index: int, exposure: Exposure, pixels: Pixels) -> Frame:
    record = FrameRecord(
        sequence=index,
        timestamp_ns=0,
        clock="none",
        received_ns=0,
        measured=exposure,
        index=index,
        label_source=LabelSource.METADATA,
    )
    return Frame(record, pixels)
