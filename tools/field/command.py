"""`livemef shoot`: archival records of objects, one bag each, from a camera that brackets."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from livemef.calibration.correction import correction_of
from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import load_profile
from livemef.capture.bracketing.plan import describe
from livemef.capture.cameras.registry import open_camera
from livemef.capture.session import CaptureSession, open_session
from livemef.fusion.correction import SRGB, CameraCorrection
from livemef.fusion.fuser import Fuser
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.exits import DONE, SURROUNDINGS, UserError
from livemef.tools.field.bag import bag_problem
from livemef.tools.field.ids import checked_id
from livemef.tools.field.imports import import_command
from livemef.tools.field.ledger import read_ledger
from livemef.tools.field.outlet import deliver_command, export_command
from livemef.tools.field.products import Origin, Subject, write_products
from livemef.tools.field.project import FILE, Project, load_project, template
from livemef.tools.field.second_copy import SecondCopy
from livemef.tools.field.session import LEDGER, OBJECTS, TARGETS, FieldSession, new_session, sessions_of, utc_now
from livemef.tools.field.take import Take, take
from livemef.tools.field.target import measure_target
from livemef.tools.options import JsonOption
from livemef.tools.verb_group import HELP_OPTIONS

application = typer.Typer(add_completion=False, context_settings=HELP_OPTIONS)
application.command("import")(import_command)
application.command("deliver")(deliver_command)
application.command("export")(export_command)
STALL_S = 5.0
COPY_LIMIT_S = 120.0
SETTLING_FRAMES = 120
ProjectArgument = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")]


@application.callback()
def _shoot() -> None:
    """Archival records of objects, one bag each, from a camera that brackets; docs/field-capture.md."""


@application.command("new")
def new_command(project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The folder to make.")]) -> int:
    """Make a project: a folder with an annotated project.toml to be edited.

    Example: livemef shoot new archive-2026
    """
    if project.exists():
        raise UserError(f"{project}: is there already")
    if not project.resolve().parent.is_dir():
        raise UserError(f"{project}: there is no folder {project.resolve().parent}; make it first")
    project.mkdir()
    (project / FILE).write_text(template(), encoding="utf-8")
    print(f"{project / FILE}: edit it, then livemef shoot open {project}")
    return DONE


@application.command("open")
def open_command(
    project: ProjectArgument,
    operator: Annotated[str | None, typer.Option("--operator", metavar="NAME", help="Who works at the camera.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Open a session and take objects: each line on the standard input is an object's id, so a barcode scanner works.

    Lines that begin with a colon: ":t" a target (a ColorChecker) is in the object's place, ":r" the next id is a
    retake, ":n TEXT" a note for the next object, ":q" close.
    The end of the input and Ctrl-C close the session as well.

    Example: livemef shoot open archive-2026 --operator 'A. Name'
    """
    settings = load_project(project)
    if operator is not None:
        settings = settings.model_copy(update={"session": settings.session.model_copy(update={"operator": operator})})
    capture = settings.capture
    correction = correction_of(load_profile(Path(capture.profile))) if capture.profile else SRGB
    fuser = open_fuser(replace(FusionSettings(), motion="off"), device="cpu")
    with closing(open_camera(capture.camera)) as camera:
        session = open_session(camera, capture.exposures, 1.0, 50)
        camera.start()
        session.settle(STALL_S, SETTLING_FRAMES)
        frozen = settings.model_dump() | {"plan": [describe(exposure) for exposure in session.plan]}
        with closing(new_session(project.resolve(), settings.session.rig, frozen)) as field:
            desk = _Desk(field, session, settings, correction, fuser, as_json)
            desk.say({"event": "open", "session": str(field.folder), "exposures": frozen["plan"]})
            with suppress(KeyboardInterrupt):
                desk.work()
            behind = desk.finish_copies()
            desk.say(
                {"event": "closed", "session": str(field.folder), "objects": len(field.stored()), "not_copied": behind}
            )
    return DONE


class _Desk:
    """An open session at work: lines come in, objects are stored, and the camera is read all the while."""

    def __init__(
        self,
        field: FieldSession,
        session: CaptureSession,
        project: Project,
        correction: CameraCorrection,
        fuser: Fuser,
        as_json: bool,
    ) -> None:
        self._field, self._session, self._project = field, session, project
        self._correction, self._fuser, self._as_json = correction, fuser, as_json
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._retake, self._note = False, ""
        self._largest, self._scale = 0, 1.0
        second = project.store.second
        self._copies = SecondCopy(Path(second).expanduser().resolve(), field.folder.name) if second else None

    def work(self) -> None:
        """Until ":q" or the end of the input."""
        threading.Thread(target=self._read_lines, daemon=True).start()
        while True:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                self._session.next_frame(STALL_S)  # a camera that is not read falls behind
                self._note_copies()
                continue
            if line is None or line.strip() == ":q":
                return
            try:
                self._obey(line.strip())
            except (UserError, CalibrationError) as error:
                self.say({"event": "refused", "line": line.strip(), "reason": str(error)})

    def say(self, event: dict[str, Any]) -> None:
        """Print an event, for a program or a person."""
        if self._as_json:
            print(json.dumps(event, ensure_ascii=False), flush=True)
            return
        texts: dict[str, Callable[[], str]] = {
            "open": lambda: f"{event['session']}: open, exposures {', '.join(event['exposures'])}; scan or type an id",
            "closed": lambda: (
                f"{event['session']}: closed, {event['objects']} objects"
                + (f", {event['not_copied']} without a second copy" if event["not_copied"] else "")
            ),
            "copied": lambda: f"{event['folder']}: second copy made and compared",
            "not copied": lambda: f"{event['folder']}: no second copy: {event['reason']}",
            "target": lambda: f"target: {event['badge']}",
            "refused": lambda: f"refused: {event['reason']}",
            "stored": lambda: (
                f"{event['object']}: stored in {event['folder']}"
                + "".join(f"; warning: {warning}" for warning in event["warnings"])
            ),
        }
        print(texts[event["event"]](), flush=True)

    def _read_lines(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        self._lines.put(None)

    def _obey(self, line: str) -> None:
        if line == ":t":
            self._target()
        elif line == ":r":
            self._retake = True
        elif line.startswith(":n "):
            self._note = line[3:].strip()
        elif line.startswith(":"):
            raise UserError(f"{line}: not known; use :t, :r, :n TEXT or :q")
        elif line:
            self._take(checked_id(line, self._project.object.pattern))

    def _take(self, object_id: str) -> None:
        taken = self._frames()
        place = self._field.store(
            object_id, self._retake, lambda folder, name: self._write(folder, name, object_id, taken)
        )
        self._stored(place)
        self._retake, self._note = False, ""
        self.say({"event": "stored", "object": object_id, "folder": str(place), "warnings": list(taken.warnings)})

    def _target(self) -> None:
        taken = self._frames()
        shot = measure_target(taken.merged.light, self._project.target)
        self._scale = shot.scale
        name = f"T{len(self._field.stored(TARGETS)) + 1:04d}"

        def write(folder: Path, name: str) -> dict[str, str]:
            shot.write(folder)
            return self._write(folder, name, name, taken)

        self._stored(self._field.store(name, False, write, TARGETS))
        self.say({"event": "target", "name": name, "badge": shot.badge, "scale": round(shot.scale, 5)})

    def _frames(self) -> Take:
        self._refuse_full_disk()
        capture = self._project.capture
        return take(self._session, self._correction, capture.frames, capture.keep, capture.limit_s, STALL_S)

    def _write(self, folder: Path, name: str, object_id: str, taken: Take) -> dict[str, str]:
        when = datetime.now().astimezone().replace(microsecond=0)
        subject = Subject(object_id, name, self._project.session.operator, when, self._note)
        write_products(
            folder, subject, taken, self._fuser, self._project, Origin.of_camera(self._session.info), self._scale
        )
        self._largest = max(self._largest, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
        organization = self._project.institution.name
        return {"Source-Organization": organization} if organization else {}

    def _stored(self, place: Path) -> None:
        if self._copies is not None:
            self._copies.put(place)

    def _note_copies(self) -> None:
        for bag, problem in [] if self._copies is None else self._copies.outcomes():
            if problem:
                self.say({"event": "not copied", "folder": str(bag), "reason": problem})
            else:
                self._field.ledger.append("copied", kind=bag.parent.name, folder=bag.name, time=utc_now())
                self.say({"event": "copied", "folder": str(bag)})

    def finish_copies(self) -> int:
        """Let the second copies come to an end, for a while; how many are not there."""
        if self._copies is None:
            return 0
        self._copies.close(COPY_LIMIT_S)
        self._note_copies()
        return len(self._field.not_copied())

    def _refuse_full_disk(self) -> None:
        needed = 3 * self._largest + self._project.store.reserve_gb * 1e9
        free = self._field.free_bytes()
        if free < needed:
            raise UserError(f"{self._field.folder}: {free / 1e9:.1f} GB free, {needed / 1e9:.1f} are needed: make room")


@application.command("status")
def status_command(project: ProjectArgument, as_json: JsonOption = False) -> int:
    """List the sessions of a project and what is in them.

    Example: livemef shoot status archive-2026
    """
    load_project(project)
    for folder in sessions_of(project):
        events = read_ledger(folder / LEDGER) if (folder / LEDGER).exists() else []
        objects = sum(1 for path in (folder / OBJECTS).iterdir() if not path.name.startswith("."))
        state = "closed" if events and events[-1]["event"] == "closed" else "open, or left by a crash"
        row = {"session": folder.name, "objects": objects, "state": state}
        print(json.dumps(row) if as_json else f"{row['session']}: {objects} objects, {state}")
    return DONE


@application.command("verify")
def verify_command(
    path: Annotated[Path, typer.Argument(metavar="PROJECT|BAG", help="A project, or one object's bag.")],
    fast: Annotated[bool, typer.Option("--fast", help="Names and sizes alone, without reading the files.")] = False,
) -> int:
    """Check every bag of a project against its checksums, and every ledger against its chain.

    Example: livemef shoot verify archive-2026 --fast
    """
    if (path / "bagit.txt").exists():
        bags, faults = [path], []
    else:
        load_project(path)
        kinds = [session / kind for session in sessions_of(path) for kind in (OBJECTS, TARGETS)]
        bags = [bag for kind in kinds for bag in sorted(kind.iterdir())]
        faults = [fault for session in sessions_of(path) if (fault := _ledger_fault(session))]
    faults += [f"{bag}: {problem}" for bag in bags if (problem := bag_problem(bag, fast))]
    for fault in faults:
        print(fault)
    if faults:
        return SURROUNDINGS
    print(f"{path}: {len(bags)} bags valid")
    return DONE


def _ledger_fault(session: Path) -> str:
    try:
        if (session / LEDGER).exists():
            read_ledger(session / LEDGER)
    except UserError as error:
        return str(error)
    return ""
