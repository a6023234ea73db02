"""`livemef shoot open`: a session on the live pipeline; lines on the standard input, the page and other verbs ask."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from livemef.calibration.correction import correction_and_sum
from livemef.calibration.profile import profile_in_force
from livemef.capture.bracketing.plan import describe
from livemef.capture.cameras.base import CameraInfo, ask_for_mosaics
from livemef.capture.cameras.registry import open_camera
from livemef.capture.frame import Exposure
from livemef.capture.session import open_session, plan_text
from livemef.fusion.open_fuser import open_fuser
from livemef.fusion.settings import FusionSettings
from livemef.tools.config.schema import Config
from livemef.tools.config.sources import load_config
from livemef.tools.counted import counted
from livemef.tools.exits import DONE, UserError
from livemef.tools.field.clock import is_synchronised
from livemef.tools.field.codes import refuse_without_reader
from livemef.tools.field.desk import Desk
from livemef.tools.field.link import SessionDoor
from livemef.tools.field.news import EVENT, SessionNews, for_everybody
from livemef.tools.field.pipeline import Pipeline
from livemef.tools.field.products import Origin
from livemef.tools.field.project import Project, load_project
from livemef.tools.field.requests import CloseRequest, typed_request
from livemef.tools.field.rig import Rig
from livemef.tools.field.rig_watch import RigWatch
from livemef.tools.field.session import FieldSession, is_locked, new_session, sessions_of, utc_now
from livemef.tools.options import JsonOption
from livemef.tools.raw_camera import dng_camera
from livemef.tools.run.command import preview_flags
from livemef.tools.run.runtime_folder import runtime_folder

STALL_S = 5.0
COPY_LIMIT_S = 120.0
FIRST_BRACKET_S = 20.0
SETTLING_FRAMES = 120

Event = dict[str, Any]


def open_command(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")],
    operator: Annotated[str | None, typer.Option("--operator", metavar="NAME", help="Who works at the camera.")] = None,
    preview: Annotated[str | None, typer.Option("--preview", metavar="HOST:PORT", help="Where the page is.")] = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Serve no page.")] = False,
    publish: Annotated[
        str | None, typer.Option("--publish", metavar="ENDPOINT", help="Where the live picture goes as well.")
    ] = None,
    codes: Annotated[
        bool, typer.Option("--codes", help="Read codes (QR, Code 128, ...) in the picture: ids from them, or checked.")
    ] = False,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Read no lines: page and other verbs ask. For a service.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Open a session and take objects: each line on the standard input is an object's id, so a barcode scanner works.

    An empty line takes the next part of the same object. Lines that begin with a colon: ":t" a target (a ColorChecker)
    lies in the object's place, ":r" the next one is a retake, ":n TEXT" a note for the next object, ":q" close. With
    --codes ":c" takes the object whose id is in a code in the picture, and a code that says another id asks back.
    On the page, and from another terminal (livemef shoot take, target, close), the same can be done.
    Ctrl-C closes as well, after what is being stored. Where the input is no terminal, its end closes too.

    Example: livemef shoot open archive-2026 --operator 'A. Name'
    """
    settings = _settings(project, operator, codes)
    say = _printer(as_json)
    with ExitStack() as stack:
        earlier = [stack.enter_context(closing(session)) for session in _left_open(project.resolve(), settings, say)]
        info, plan, gives_raw = _settled(settings)
        dng = dng_camera(info, settings.capture.profile) if gives_raw else None
        folder = stack.enter_context(runtime_folder())
        outputs = preview_flags(preview, no_preview)
        outputs["publish.endpoint"] = publish or f"pub+bind:ipc://{folder}/fused"
        config = _configured(settings, info, plan, outputs)
        pipeline = Pipeline(config, folder, gives_raw)
        stack.callback(pipeline.stop)
        pipeline.start()
        frozen = _frozen(settings, info, plan, gives_raw)
        field = stack.enter_context(closing(new_session(project.resolve(), settings.session.rig, frozen)))
        rig = _rig(settings, Origin.of_camera(info, dng), plan, pipeline)
        searches = not settings.target.corners
        watch = stack.enter_context(closing(RigWatch(pipeline.endpoint, plan, rig.correction, searches)))
        watch.start()
        watch.wait_for_bracket(FIRST_BRACKET_S)
        say = _both(say, lambda event: pipeline.tell(EVENT, for_everybody(event)))
        desk = Desk(field, earlier, settings, rig, watch, say)
        stack.enter_context(closing(SessionNews(pipeline.tell, desk.board.snapshot)))
        stack.enter_context(closing(SessionDoor(folder, desk.ask)))
        stack.enter_context(_ending_on_signals(desk))
        kept = {"exposures": frozen["plan"], "sources": frozen["sources"]}
        if pipeline.page and not as_json:
            print(f"page at {pipeline.page_in_words}", flush=True)
        say({"event": "open", "session": str(field.folder), **kept, "page": pipeline.page})
        if not no_input:
            threading.Thread(target=_read_lines, args=(desk, say), name="standard input", daemon=True).start()
        desk.work()
        behind = desk.finish_copies(COPY_LIMIT_S)
        objects = len(field.stored())
        say({"event": "closed", "session": str(field.folder), "objects": objects, "not_copied": behind})
    return DONE


def _settings(project: Path, operator: str | None, codes: bool) -> Project:
    """The project's settings, with what was typed. Raises UserError for codes where no reader of codes is installed."""
    settings = load_project(project)
    if operator is not None:
        settings = settings.model_copy(update={"session": settings.session.model_copy(update={"operator": operator})})
    if codes:
        settings = settings.model_copy(update={"object": settings.object.model_copy(update={"codes": True})})
    if settings.object.codes:
        refuse_without_reader()
    return settings


def _left_open(project: Path, settings: Project, say: Callable[[Event], None]) -> list[FieldSession]:
    """Earlier sessions that a crash left open, put in order, and those that have objects without a second copy.

    A session whose ledger is broken, or that another process has open, is left alone.
    """
    found = []
    for folder in sessions_of(project):
        if is_locked(folder):
            continue
        try:
            session = FieldSession(folder)
        except (UserError, OSError) as error:
            say({"event": "left alone", "session": str(folder), "reason": str(error)})
            continue
        if not session.closed:
            say({"event": "recovered", "session": str(folder), "objects": len(session.stored())})
        if settings.store.second and session.not_copied():
            found.append(session)
        else:
            session.close()
    return found


def _settled(settings: Project) -> tuple[CameraInfo, tuple[Exposure, ...], bool]:
    """The camera, the exposures that suit what is before it, which stay for the session, and whether raw frames are
    wanted and it gives them. Raises CaptureError.
    """
    known, _ = profile_in_force(settings.capture.profile)
    with closing(open_camera(settings.capture.camera)) as camera:
        session = open_session(camera, settings.capture.exposures, 1.0, 50, known)
        camera.start()
        session.settle(STALL_S, SETTLING_FRAMES)
        return camera.info, session.plan, settings.capture.raw and ask_for_mosaics(camera)


def _configured(settings: Project, info: CameraInfo, plan: tuple[Exposure, ...], outputs: dict[str, Any]) -> Config:
    """The pipeline's configuration: this machine's, with the project's camera and fixed exposures."""
    capture = {
        "capture.camera": settings.capture.camera,
        "capture.exposures": plan_text(plan) if info.can_request else "auto",
        "capture.profile": settings.capture.profile or None,
    }
    return load_config(None, capture | outputs).config


def _frozen(settings: Project, info: CameraInfo, plan: tuple[Exposure, ...], raw: bool) -> dict[str, Any]:
    """What session.toml keeps."""
    return settings.model_dump() | {
        "plan": [describe(exposure) for exposure in plan],
        "camera": {"uri": info.uri, "name": info.name, "model": info.model, "serial": info.serial},
        "sources": "raw" if raw else "developed",
        "opened": utc_now(),
        "clock_synchronised": str(is_synchronised()).lower(),
    }


def _rig(settings: Project, origin: Origin, plan: tuple[Exposure, ...], pipeline: Pipeline) -> Rig:
    correction, digest = correction_and_sum(settings.capture.profile)
    origin = replace(origin, profile_sha256=digest)
    fuser = open_fuser(replace(FusionSettings(), motion="off"), device="cpu")
    return Rig(pipeline.endpoint, plan, origin, correction, fuser, lambda: pipeline.problem)


def _read_lines(desk: Desk, say: Callable[[Event], None]) -> None:
    """Ask for what the lines of the standard input say, one after the other."""
    for line in sys.stdin:
        if line.strip() == ":q":
            break
        try:
            request = typed_request(line)
        except UserError as error:
            say({"event": "refused", "request": {"line": line.strip()}, "reason": str(error)})
            continue
        with suppress(UserError):  # the desk has said so
            desk.ask(request, queued=True)
        if desk.ending:
            return
    desk.ask(CloseRequest())


def _ending_on_signals(desk: Desk) -> ExitStack:
    """The first Ctrl-C or SIGTERM ends the session after what it is doing, the second at once. Undone on leaving."""
    stack = ExitStack()

    def ask(number: int, frame: FrameType | None) -> None:
        if desk.ending:
            raise KeyboardInterrupt
        desk.end()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before = signal.signal(number, ask)
        stack.callback(signal.signal, number, before)
    return stack


def _printer(as_json: bool) -> Callable[[Event], None]:
    """Prints events, for a program or a person; from any thread."""
    lock = threading.Lock()

    def say(event: Event) -> None:
        text = json.dumps(event, ensure_ascii=False) if as_json else _in_words(event)
        with lock, suppress(OSError):
            print(text, flush=True)

    return say


def _both(first: Callable[[Event], None], second: Callable[[Event], None]) -> Callable[[Event], None]:
    def say(event: Event) -> None:
        first(event)
        second(event)

    return say


def _in_words(event: Event) -> str:
    kind = event["event"]
    if kind == "open":
        sources = "raw frames" if event["sources"] == "raw" else "pictures as the camera develops them"
        exposures = ", ".join(event["exposures"])
        return f"{event['session']}: open, exposures {exposures}, sources are {sources}; scan or type an id"
    if kind == "closed":
        behind = f", {event['not_copied']} without a second copy" if event["not_copied"] else ""
        return f"{event['session']}: closed, {counted(event['objects'], 'object')}{behind}"
    if kind == "stored":
        part = f", part {event['part']}" if event["part"] > 1 else ""
        warned = "".join(f"; warning: {warning}" for warning in event["warnings"])
        return f"{event['object']}{part}: stored in {event['folder']} ({event['seconds']:.1f} s){warned}"
    texts = {
        "copied": "{folder}: second copy made and compared",
        "not copied": "{folder}: no second copy yet: {reason}",
        "target": "target {name}: {badge}",
        "refused": "refused: {reason}",
        "noted": "{text}",
        "clock": "warning: {warning}",
        "left alone": "{session}: left alone: {reason}",
        "recovered": "{session}: was left open; put in order, {objects} objects",
    }
    return texts[kind].format(**event)
