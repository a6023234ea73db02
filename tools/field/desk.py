"""An open session at work: requests come in, objects are stored, the second copies follow."""

from __future__ import annotations

import base64
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from livemef.calibration.errors import CalibrationError
from livemef.capture.errors import CaptureError, fault_of_surroundings
from livemef.tools.exits import UserError
from livemef.tools.field import requests
from livemef.tools.field.board import Board, Entry
from livemef.tools.field.clock import ClockState, ClockWatch
from livemef.tools.field.codes import Code, contradiction, id_of, read_codes
from livemef.tools.field.exposures import ExposureFrames, RawFrames
from livemef.tools.field.ids import checked_id, folder_name
from livemef.tools.field.products import Standard, Subject, write_products
from livemef.tools.field.project import Project
from livemef.tools.field.readiness import NO_TARGET, red_reasons
from livemef.tools.field.rig import Rig
from livemef.tools.field.rig_watch import RigWatch
from livemef.tools.field.second_copy import SecondCopy
from livemef.tools.field.session import TARGETS, FieldSession, utc_now
from livemef.tools.field.take import Take, take
from livemef.tools.field.target import measure_target

STALL_S = 10.0
TURN_S = 0.1
ANSWER_LIMIT_S = 90.0

Event = dict[str, Any]


class Desk:
    """`ask` from any thread; `work` in one, which does everything that touches the disk."""

    def __init__(
        self,
        field: FieldSession,
        earlier: list[FieldSession],
        project: Project,
        rig: Rig,
        watch: RigWatch,
        say: Callable[[Event], None],
    ) -> None:
        """earlier: sessions of the project whose second copies are not all made yet. say: shows an event."""
        self._field, self._project, self._rig, self._watch, self._say = field, project, rig, watch, say
        self._sessions = {session.folder: session for session in (field, *earlier)}
        self._waiting: queue.Queue[tuple[requests.Request, Future[Event]]] = queue.Queue()
        self._ending = threading.Event()
        self._clock = ClockWatch()
        self._said_clock = ""
        self._retake, self._note = False, ""
        self._doubted = ""
        self._last: tuple[str, int] | None = None
        self._standard = Standard()
        second = project.store.second
        self._copies = SecondCopy(Path(second).expanduser().resolve()) if second else None
        self.board = Board(field, project, rig, watch, self._copies, self._clock)
        if self._copies is not None:
            for session in self._sessions.values():
                for bag in session.not_copied():
                    self._copies.put(bag)

    # ---- requests, from any thread

    def ask(self, request: requests.Request, queued: bool = False) -> Event:
        """Do what is asked and return what came of it. Raises UserError for a refusal.

        queued: wait for what is being done; else a take is refused meanwhile, so that no second click takes twice.
        """
        if isinstance(request, requests.StatusRequest):
            return self.board.snapshot()
        if isinstance(request, requests.ThumbRequest):
            return {"jpeg": self.board.thumb(request.name)}
        if isinstance(request, requests.ClippingRequest):
            return {"png": base64.b64encode(self._watch.overlay).decode()}
        if isinstance(request, requests.CloseRequest):
            self._ending.set()
            return {"event": "closing"}
        takes = isinstance(request, (requests.TakeRequest, requests.TargetRequest))
        if takes and not queued and (self.board.doing or not self._waiting.empty()):
            raise UserError(f"busy {self.board.doing or 'with another request'}: wait until it is done")
        done: Future[Event] = Future()
        self._waiting.put((request, done))
        try:
            return done.result(ANSWER_LIMIT_S)
        except FutureTimeout:
            raise UserError(f"not done within {ANSWER_LIMIT_S:.0f} s") from None

    def end(self) -> None:
        """Let `work` return after what it is doing."""
        self._ending.set()

    @property
    def ending(self) -> bool:
        """Whether the end was asked for."""
        return self._ending.is_set()

    # ---- work, in one thread

    def work(self) -> None:
        """Until the session is closed."""
        while not self._ending.is_set():
            self._note_clock()
            self._note_copies()
            try:
                request, done = self._waiting.get(timeout=TURN_S)
            except queue.Empty:
                continue
            self._answer(request, done)

    def _answer(self, request: requests.Request, done: Future[Event]) -> None:
        try:
            event = self._obey(request)
        except (UserError, CalibrationError, CaptureError) as error:
            self._refuse(request, str(error), done)
        except Exception as error:
            reason = fault_of_surroundings(error)
            if reason is None:
                done.set_exception(UserError(f"this is a bug in livemef ({type(error).__name__}: {error})"))
                raise
            self._refuse(request, reason, done)
        else:
            self._say(event)
            done.set_result(event)
        finally:
            self.board.doing = ""

    def _refuse(self, request: requests.Request, reason: str, done: Future[Event]) -> None:
        self._say({"event": "refused", "request": requests.as_json(request), "reason": reason})
        self.board.refused = reason
        done.set_exception(UserError(reason))

    def _obey(self, request: requests.Request) -> Event:
        if isinstance(request, requests.RetakeRequest):
            self._retake = True
            return {"event": "noted", "text": "the next one is a retake"}
        if isinstance(request, requests.NoteRequest):
            self._note = request.text
            return {"event": "noted", "text": f"for the next object: {request.text}"}
        self.board.refused = ""
        if isinstance(request, requests.TargetRequest):
            return self._take_target()
        assert isinstance(request, requests.TakeRequest)
        return self._take_object(request)

    def _take_object(self, request: requests.TakeRequest) -> Event:
        retake, note = request.retake or self._retake, request.note or self._note
        if request.code and not self._project.object.codes:
            raise UserError("codes in the picture are not read in this session: open it with --codes")
        if not request.code:
            self._refuse_taken(request, retake)
        self._refuse_red(())
        began = time.monotonic()
        taken = self._frames()
        codes = self._codes(taken)
        if request.code:
            found = id_of(codes, self._project.object.pattern)
            request = request.model_copy(update={"id": found})
        object_id, part = self._refuse_taken(request, retake)
        self._doubt(object_id, codes)
        when = datetime.now().astimezone().replace(microsecond=0)
        clock = self._clock.state()

        def write(folder: Path, name: str) -> Mapping[str, str]:
            subject = Subject(object_id, name, self._project.session.operator, when, note, part, codes)
            return self._write(folder, subject, taken, self._standard, clock)

        place = self._field.store(object_id, retake, write, part=self._part_name(part))
        self._retake, self._note, self._last = False, "", (object_id, part)
        warnings = list(taken.warnings)
        self._stored(place, object_id, part, warnings)
        seconds = round(time.monotonic() - began, 2)
        return {
            "event": "stored",
            "object": object_id,
            "part": part,
            "folder": str(place),
            "warnings": warnings,
            "seconds": seconds,
        }

    def _refuse_taken(self, request: requests.TakeRequest, retake: bool) -> tuple[str, int]:
        """Object id and part of a request. Raises UserError if that is there already and this is no retake."""
        object_id, part = self._piece(request, retake)
        self._field.refuse_taken(object_id, retake, self._part_name(part))
        return object_id, part

    def _codes(self, taken: Take) -> tuple[Code, ...]:
        if not self._project.object.codes:
            return ()
        return read_codes(frame.pixels for frame in taken.sources[0])

    def _doubt(self, object_id: str, codes: tuple[Code, ...]) -> None:
        """Raise UserError the first time that an id is given which a code in the picture contradicts."""
        doubted, self._doubted = self._doubted, ""
        problem = contradiction(object_id, codes, self._project.object.pattern)
        if problem and doubted != object_id:
            self._doubted = object_id
            raise UserError(problem)

    def _piece(self, request: requests.TakeRequest, retake: bool) -> tuple[str, int]:
        """Object id and number of the part that is meant."""
        if request.id is not None:
            object_id = checked_id(request.id, self._project.object.pattern)
            return object_id, self._next_part(object_id) if request.part and not retake else 1
        if self._last is None:
            raise UserError("no object yet: scan or type an id first")
        return self._last if retake else (self._last[0], self._next_part(self._last[0]))

    def _next_part(self, object_id: str) -> int:
        there = {name.lower() for name in self._field.stored()}
        if folder_name(object_id).lower() not in there:
            return 1
        number = 2
        while (folder_name(object_id) + self._part_name(number)).lower() in there:
            number += 1
        return number

    def _part_name(self, part: int) -> str:
        return "" if part == 1 else self._project.object.parts.format(part)

    def _take_target(self) -> Event:
        self._refuse_red((NO_TARGET,))
        taken = self._frames()
        self.board.doing = "measuring the target"
        shot = measure_target(taken.merged.light, self._project.target)
        clock = self._clock.state()
        name = f"T{len(self._field.stored(TARGETS)) + 1:04d}"
        standard = Standard(shot.scale, shot.pixels_per_mm, name)

        def write(folder: Path, name: str) -> Mapping[str, str]:
            shot.write(folder)
            when = datetime.now().astimezone().replace(microsecond=0)
            return self._write(
                folder, Subject(name, name, self._project.session.operator, when), taken, standard, clock
            )

        place = self._field.store(name, False, write, TARGETS)
        self._standard = standard
        self._watch.new_target(taken.merged.light, shot)
        self.board.new_target(name, shot)
        self._put_copy(place)
        return {"event": "target", "name": name, "badge": shot.badge, "scale": round(shot.scale, 5)}

    def _refuse_red(self, allowed: tuple[str, ...]) -> None:
        reasons = [reason for reason in red_reasons(self.board.facts()) if reason not in allowed]
        if reasons:
            raise UserError("; ".join(reasons))

    def _frames(self) -> Take:
        self.board.doing = "taking"
        rig, capture = self._rig, self._project.capture
        opened = ExposureFrames(rig.endpoint) if rig.origin.dng is None else RawFrames(rig.endpoint)
        with closing(opened) as frames:
            taken = take(
                frames.next_frame,
                rig.plan,
                rig.correction,
                capture.frames,
                capture.keep,
                capture.limit_s,
                min(STALL_S, capture.limit_s),
            )
        self.board.doing = "storing"
        return taken

    def _write(
        self, folder: Path, subject: Subject, taken: Take, standard: Standard, clock: ClockState
    ) -> Mapping[str, str]:
        rig = self._rig
        write_products(folder, subject, taken, rig.fuser, self._project, rig.origin, standard, clock)
        self.board.note_size(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
        organization = self._project.institution.name
        return {"Source-Organization": organization} if organization else {}

    def _stored(self, place: Path, object_id: str, part: int, warnings: list[str]) -> None:
        self.board.add(Entry(place.name, object_id, part, utc_now(), tuple(warnings)))
        self._put_copy(place)

    def _put_copy(self, place: Path) -> None:
        if self._copies is not None:
            self._copies.put(place)

    def _note_copies(self) -> None:
        for bag, problem in [] if self._copies is None else self._copies.outcomes():
            self.board.second_problem = problem
            if problem:
                self._say({"event": "not copied", "folder": str(bag), "reason": problem})
                continue
            ledger = self._sessions[bag.parent.parent].ledger
            ledger.append("copied", kind=bag.parent.name, folder=bag.name, time=utc_now())
            self.board.copied(bag)
            self._say({"event": "copied", "folder": str(bag)})

    def _note_clock(self) -> None:
        warning = self._clock.state().warning
        if warning != self._said_clock:
            self._said_clock = warning
            self._field.ledger.append("clock", time=utc_now(), state=warning or "in step")
            if warning:
                self._say({"event": "clock", "warning": warning})

    def finish_copies(self, limit_s: float) -> int:
        """Let the second copies come to an end, for a while; how many are not there."""
        if self._copies is None:
            return 0
        self._copies.close(limit_s)
        self._note_copies()
        return sum(len(session.not_copied()) for session in self._sessions.values())
