"""The state of an open session, for its page and for `status`: plain data, whatever the desk is doing."""

from __future__ import annotations

import base64
import shutil
import time
from collections import deque
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from livemef.capture.bracketing.plan import describe
from livemef.tools.exits import UserError
from livemef.tools.field.clock import ClockWatch
from livemef.tools.field.project import Project
from livemef.tools.field.readiness import Facts, objects_left, red_reasons, warnings
from livemef.tools.field.rig import Rig
from livemef.tools.field.rig_watch import RigWatch
from livemef.tools.field.second_copy import SecondCopy
from livemef.tools.field.session import OBJECTS, FieldSession
from livemef.tools.field.target import TargetShot

LAST = 10
THUMB_SIDE = 240


@dataclass(frozen=True)
class Entry:
    """One of the last objects. name: its folder. when: UTC. copied: whether its second copy is there."""

    name: str
    object: str
    part: int
    when: str
    warnings: tuple[str, ...] = ()
    copied: bool = False


class Board:
    """What is shown. `snapshot` may be called from any thread; the rest by the desk's."""

    def __init__(
        self,
        field: FieldSession,
        project: Project,
        rig: Rig,
        watch: RigWatch,
        copies: SecondCopy | None,
        clock: ClockWatch,
    ) -> None:
        self._field, self._project, self._rig, self._watch = field, project, rig, watch
        self._copies, self._clock = copies, clock
        self._entries: deque[Entry] = deque(maxlen=LAST)
        self._target: tuple[str, float, TargetShot] | None = None
        self._objects = self._since_target = 0
        self._largest = 0
        self.doing = ""
        """What is being done: "" (waiting for an id), "taking", "storing" ..."""
        self.refused = ""
        """Why the last request was refused; "" once another one was done."""
        self.second_problem = ""

    def add(self, entry: Entry) -> None:
        """An object was stored."""
        self._entries.appendleft(entry)
        self._objects += 1
        self._since_target += 1

    def copied(self, bag: Path) -> None:
        """The second copy of a bag was made."""
        if bag.parent == self._field.folder / OBJECTS:
            shown = [replace(one, copied=one.copied or one.name == bag.name) for one in self._entries]
            self._entries = deque(shown, maxlen=LAST)

    def new_target(self, name: str, shot: TargetShot) -> None:
        """A target was taken."""
        self._target = name, time.monotonic(), shot
        self._since_target = 0

    def note_size(self, size: int) -> None:
        """An object of so many bytes was written."""
        self._largest = max(self._largest, size)

    def facts(self) -> Facts:
        """What readiness is judged from, now."""
        project, seen = self._project, self._watch.seen()
        copies = self._copies
        return Facts(
            pipeline=self._rig.problem() or seen.problem,
            automatic=self._rig.origin.automatic,
            exposure=seen.exposure,
            wants_target=project.target.before_first,
            target_age_s=None if self._target is None else time.monotonic() - self._target[1],
            objects_since_target=self._since_target,
            every_s=3600 * project.target.every_hours,
            every_objects=project.target.every_objects,
            free=_free(self._field.folder),
            second_free=None if copies is None else copies.free_bytes,
            second=copies is not None,
            second_behind=0 if copies is None else copies.behind,
            reserve=round(project.store.reserve_gb * 1e9),
            object_bytes=self._largest or seen.object_bytes(project.capture.keep),
            clock=self._clock.state().warning,
            rig=seen.rig.warning if seen.rig is not None else "",
            clipped=seen.clipping,
        )

    def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON-like data."""
        facts, seen = self.facts(), self._watch.seen()
        red = red_reasons(facts)
        target = None
        if self._target is not None:
            name, _, shot = self._target
            target = {"name": name, "age_s": round(facts.target_age_s or 0), "badge": shot.badge, **shot.summary}
        return {
            "session": self._field.folder.name,
            "project": str(self._field.folder.parent),
            "operator": self._project.session.operator,
            "rig": self._project.session.rig,
            "pattern": self._project.object.pattern,
            "plan": [describe(exposure) for exposure in self._rig.plan],
            "frames": self._project.capture.frames,
            "codes": self._project.object.codes,
            "doing": self.doing,
            "refused": self.refused,
            "red": list(red),
            "warnings": list(warnings(facts)),
            "objects": self._objects,
            "last": [asdict(entry) for entry in self._entries],
            "objects_left": objects_left(facts),
            "free_bytes": facts.free,
            "second": None
            if self._copies is None
            else {"behind": facts.second_behind, "free_bytes": facts.second_free, "problem": self.second_problem},
            "target": target,
            "live": None if seen.rig is None else asdict(seen.rig),
            "clipped": None if seen.clipped is None else round(seen.clipped, 6),
            "clock": {"synchronised": self._clock.state().synchronised, "warning": facts.clock},
        }

    def thumb(self, name: str) -> str:
        """A small JPEG, base64, of one of the last objects. Raises UserError for any other name."""
        if name not in {entry.name for entry in self._entries}:
            raise UserError(f"{name}: is not among the last objects")
        path = self._field.folder / OBJECTS / name / "data" / "access" / f"{name}_fused.jpg"
        picture = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4)
        if picture is None:
            raise UserError(f"{name}: its picture cannot be read")
        factor = THUMB_SIDE / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
