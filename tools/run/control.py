"""Changes of a running pipeline, one after the other: to the process that does it, then into the live configuration.

A request comes from the gate (the preview process) as a Report "ask", and is answered there with a Command "answer". It
is carried out in steps, each a command to one process:

* What a process has confirmed is committed: revision + 1, an event for everybody, and what later starts take.
* A change of fusion is sure once it is checked. So it is committed too if fusion dies meanwhile, or takes its time;
  should a slow one be refused after all, it is undone.
* A change that needs another process (camera, device, threads) is committed, and that process is started again with it.
* Exposures are sure only when the camera's process has confirmed them. If that dies, nothing has changed.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from livemef.capture.child import Command, Report
from livemef.capture.live_plan import CHANGE, HOLD
from livemef.tools.config.live_keys import CAMERA, ChangeRefused, Wrong, differences
from livemef.tools.config.schema import Config
from livemef.tools.exits import UserError
from livemef.tools.run.live_state import LiveState
from livemef.tools.run.outcome import Outcome, problem

GATE, EVENT = "preview", "event"
ANSWER_LIMIT_S = 4.0
MOST_WAITING = 64
"""Requests that wait for their turn; more are refused."""
RESTART = "restart"
"""Name of the step that starts a process again: it takes all it needs from the live configuration."""
FUSION_RESTART_KEYS = ("runtime.device", "runtime.threads")
CAPTURE_KEYS = ("capture.exposures", "capture.gain", "capture.mains_hz")


class Pipeline(Protocol):
    """What a change needs of the supervisor."""

    def tell(self, name: str, message: Command | str) -> bool:
        """See Supervisor."""
        ...

    def restart(self, name: str) -> bool:
        """See Supervisor."""
        ...

    def is_there(self, name: str) -> bool:
        """Whether that process runs now."""
        ...


@dataclass(frozen=True)
class Step:
    """A command to a process and the live keys (dotted) that it changes. Empty `values`: they come with the answer."""

    child: str
    name: str
    values: dict[str, Any]
    keys: dict[str, Any]


@dataclass
class _Request:
    ask: int
    who: str
    action: str
    steps: deque[Step]
    changed: dict[str, Any]
    number: int = 0
    revision: int = 0
    until: float = 0.0


@dataclass(frozen=True)
class _Late:
    """A step that was not answered in time. before: the keys' values before it, if it was committed."""

    step: Step
    who: str
    before: dict[str, Any] | None


class Control:
    """The one who changes `state`. `on_report`, `on_end` are the supervisor's; call `step` every turn."""

    def __init__(
        self,
        pipeline: Pipeline,
        state: LiveState,
        fusion_settings: Callable[[Config], Any] = lambda config: config.fusion,
        sets_exposures: Callable[[], bool] = lambda: True,
        save: Callable[[Mapping[str, Any]], Outcome] | None = None,
        audit: Callable[[dict[str, Any]], None] = lambda entry: None,
        more: Callable[[str, Mapping[str, Any]], Outcome | None] = lambda do, asked: None,
        check: Callable[[Config], None] = lambda after: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """check: raises ChangeRefused for a configuration that cannot work on this machine."""
        self._check = check
        self._pipeline, self.state, self._clock = pipeline, state, clock
        self._fusion_settings, self._can_set, self._audit = fusion_settings, sets_exposures, audit
        self._save = save or (
            lambda values: problem(409, "livemef run was started without --config FILE: no file to save to")
        )
        self._more = more
        """What else can be asked for; None = not that."""
        self._numbers = itertools.count(1)
        self._issued = state.revision
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._present: _Request | None = None
        self._late: dict[int, _Late] = {}

    # ---- what the supervisor brings

    def on_report(self, name: str, report: Report) -> None:
        """A process has answered, or the gate asks."""
        if report.kind == "ask" and name == GATE:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(report.values)
            else:
                self._answer(report.values, problem(503, "too many changes wait already; try again"))
        elif report.kind == "answer":
            self._on_answer(report.values)
        self.step()

    def on_end(self, name: str) -> None:
        """A process has ended; it is started again with the live configuration as it is after this."""
        self._late = {number: late for number, late in self._late.items() if late.step.child != name}
        request = self._present
        if request is None or request.steps[0].child != name:
            return
        if name == "fusion":
            self._commit(request, request.steps[0])
            self._next_step(request)
        else:
            self._finish(
                request, problem(503, f"{name} has just ended and is started again: nothing has changed; try again")
            )

    def step(self) -> None:
        """Do what is due."""
        request = self._present
        if request is not None and self._clock() >= request.until:
            self._out_of_time(request)
        while self._present is None and self._waiting:
            self._begin(self._waiting.popleft())

    # ---- a request

    def _begin(self, asked: Mapping[str, Any]) -> None:
        do = asked.get("do")
        if do == "hello":
            self._tell_gate("live", self.state.snapshot())
            return
        if do == "restart":
            self._restart(asked)
            return
        if do == "save":
            self._answer(asked, self._saved(asked))
            return
        outcome = self._more(str(do), asked)
        if outcome is not None:
            self._answer(asked, outcome)
            return
        if do == "hold":
            if not self._can_set():
                self._answer(asked, NO_EXPOSURES)
                return
            self._start(asked, deque([Step("capture", HOLD, {}, {})]), {})
            return
        try:
            keys = self._wanted(asked)
        except ChangeRefused as error:
            self._answer(asked, problem(422, str(error), error.errors))
        except UserError as error:
            self._answer(asked, problem(409, str(error)))
        else:
            self._change(asked, keys)

    def _wanted(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The live keys to change and their new values. Raises ChangeRefused, UserError."""
        if asked["do"] == "revert":
            return self.state.reload_base()
        change = {"exposures": "auto"} if asked["do"] == "auto" else asked["change"]
        table = "capture" if asked["do"] == "auto" else asked["table"]
        return {f"{table}.{name}": value for name, value in change.items()}

    def _change(self, asked: Mapping[str, Any], keys: dict[str, Any]) -> None:
        stale = asked.get("if_match")
        if stale is not None and stale != self.state.revision:
            now = self.state.snapshot()
            detail = f"the settings are those of revision {self.state.revision}, not of the one that If-Match names"
            self._answer(asked, problem(412, detail, revision=now["revision"], values=now["values"]))
            return
        try:
            after = self.state.with_keys(keys)
            self._check(after)
        except ChangeRefused as error:
            self._answer(asked, problem(422, str(error), error.errors))
            return
        changed = differences(self.state.config, after)
        of_camera = {key: value for key, value in changed.items() if key in (*CAPTURE_KEYS, CAMERA)}
        of_fusion = {key: value for key, value in changed.items() if key not in of_camera}
        steps: deque[Step] = deque()
        if CAMERA in of_camera:
            steps.append(Step("capture", RESTART, {}, of_camera))
        elif of_camera:
            if not self._can_set():
                self._answer(asked, NO_EXPOSURES)
                return
            capture = after.capture
            values = {"exposures": capture.exposures, "gain": capture.gain, "mains_hz": capture.mains_hz}
            steps.append(Step("capture", CHANGE, values, of_camera))
        if any(key in of_fusion for key in FUSION_RESTART_KEYS):
            steps.append(Step("fusion", RESTART, {}, of_fusion))
        elif of_fusion:
            steps.append(Step("fusion", "change", self._fusion_values(after, of_fusion), of_fusion))
        self._start(asked, steps, {})

    def _fusion_values(self, after: Config, changed: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if any(key.startswith("fusion.") for key in changed):
            values["settings"] = self._fusion_settings(after)
        if "publish.codec" in changed:
            values["codec"] = after.publish.codec
        if "capture.bracket_mode" in changed:
            values["bracket_mode"] = after.capture.bracket_mode
        return values

    def _start(self, asked: Mapping[str, Any], steps: deque[Step], changed: dict[str, Any]) -> None:
        action = "set" if asked["do"] == "change" else str(asked["do"])
        self._present = _Request(asked["ask"], str(asked.get("who", "")), action, steps, changed)
        self._send_step(self._present)

    def _send_step(self, request: _Request) -> None:
        """Send the first step that is left; the end of the request if there is none."""
        if not request.steps:
            self._finish(request, Outcome(200, self._result(request)))
            return
        step = request.steps[0]
        self._issued = max(self._issued, self.state.revision) + 1
        request.number, request.revision = next(self._numbers), self._issued
        if step.name == RESTART:
            self._commit(request, step)
            self._next_step(request)
            self._pipeline.restart(step.child)
            return
        request.until = self._clock() + ANSWER_LIMIT_S
        values = step.values | ({"settings_rev": request.revision} if step.child == "fusion" else {})
        there = self._pipeline.is_there(step.child)
        if there and self._pipeline.tell(step.child, Command(request.number, step.name, values)):
            return
        if there or step.child != "fusion":
            self._finish(request, problem(503, f"{step.child} does not answer now: nothing has changed; try again"))
            return
        self._commit(request, step)  # it starts with it
        self._next_step(request)

    def _next_step(self, request: _Request) -> None:
        request.steps.popleft()
        self._send_step(request)

    def _on_answer(self, values: Mapping[str, Any]) -> None:
        late = self._late.pop(values["number"], None)
        if late is not None:
            self._on_late_answer(late, values)
            return
        request = self._present
        if request is None or request.number != values["number"]:
            return
        step = request.steps[0]
        if values["refused"]:
            self._finish(request, _refusal(step, values["refused"]))
            return
        self._commit(request, step, values)
        self._next_step(request)
        self._restart_if_needed(step, values)

    def _on_late_answer(self, late: _Late, values: Mapping[str, Any]) -> None:
        if values["refused"] and late.before is not None:
            config, keys = self.state.config, late.step.keys
            before = {key: old for key, old in late.before.items() if _value(config, key) == keys[key]}
            self._take(before, late.who, "undone", 0, reason=values["refused"])
            self._tell_revision()
        elif not values["refused"] and late.before is None:
            self._take(late.step.keys or {"capture.exposures": values["exposures"]}, late.who, "set", 0)
            self._tell_revision()
            self._restart_if_needed(late.step, values)

    def _out_of_time(self, request: _Request) -> None:
        step = request.steps[0]
        if step.child != "fusion":
            self._late[request.number] = _Late(step, request.who, None)
            self._finish(request, problem(503, f"{step.child} has not answered within {ANSWER_LIMIT_S:g} s"))
            return
        before = {key: _value(self.state.config, key) for key in step.keys}
        self._late[request.number] = _Late(step, request.who, before)
        self._commit(request, step)
        self._finish(request, Outcome(202, self._result(request) | {"pending": True}))

    # ---- what comes of it

    def _commit(self, request: _Request, step: Step, answer: Mapping[str, Any] | None = None) -> None:
        keys = step.keys or {"capture.exposures": (answer or {})["exposures"]}
        self._take(keys, request.who, request.action, request.revision)
        request.changed |= keys
        if step.child != "fusion":
            self._tell_revision()

    def _tell_revision(self) -> None:
        self._pipeline.tell("fusion", Command(0, "change", {"settings_rev": self.state.revision}))

    def _restart_if_needed(self, step: Step, answer: Mapping[str, Any]) -> None:
        if answer.get("restart"):
            self._pipeline.restart(step.child)

    def _take(self, keys: Mapping[str, Any], who: str, action: str, revision: int, **more: Any) -> None:
        self.state.commit(keys, who, revision)
        self._tell_gate("live", self.state.snapshot())
        self.event("settings", revision=self.state.revision, who=who, changed=dict(keys), action=action, **more)

    def _result(self, request: _Request) -> dict[str, Any]:
        now = self.state.snapshot()
        return {"revision": now["revision"], "values": now["values"], "changed": request.changed}

    def _finish(self, request: _Request, outcome: Outcome) -> None:
        if request.changed and outcome.refused:  # an earlier step was carried out
            outcome = Outcome(outcome.status, outcome.body | {"changed": request.changed})
        self._present = None
        self._answer({"ask": request.ask, "who": request.who, "do": request.action}, outcome)

    def _restart(self, asked: Mapping[str, Any]) -> None:
        """The answer goes first: it may be the gate that ends."""
        name = GATE if asked["process"] == "gate" else str(asked["process"])
        if name not in (GATE, "capture", "fusion"):
            wrong = Wrong("process", f"is {name[:40]!r}", "capture, fusion or gate")
            self._answer(asked, problem(422, "there is no such process", [wrong]))
            return
        self._answer(asked, Outcome(202, {"process": asked["process"]}))
        self._pipeline.restart(name)

    def _saved(self, asked: Mapping[str, Any]) -> Outcome:
        try:
            outcome = self._save(differences(self.state.base, self.state.config))
            self.state.reload_base()
        except UserError as error:
            return problem(409, str(error))
        if not outcome.refused:
            self._tell_gate("live", self.state.snapshot())
            who = asked.get("who", "")
            self.event("settings", revision=self.state.revision, who=who, changed={}, action="save")
        return outcome

    def event(self, event: str, /, **data: Any) -> None:
        """Tell everybody."""
        self._tell_gate(EVENT, {"event": event, "data": data})
        self._pipeline.tell("fusion", Command(0, EVENT, {"event": event, "data": data}))  # which publishes it

    def _answer(self, asked: Mapping[str, Any], outcome: Outcome) -> None:
        self._audit(
            {
                "who": asked.get("who", ""),
                "did": asked.get("do", ""),
                "status": outcome.status,
                "revision": self.state.revision,
                "changed": outcome.body.get("changed", {}),
            }
        )
        self._tell_gate("answer", {"ask": asked.get("ask"), "status": outcome.status, "body": outcome.body})

    def _tell_gate(self, name: str, values: dict[str, Any]) -> None:
        self._pipeline.tell(GATE, Command(0, name, values))


NO_EXPOSURES = problem(409, "the exposures of this source cannot be set: it is a recording")


def _refusal(step: Step, reason: str) -> Outcome:
    key = "capture.exposures" if step.child == "capture" else next(iter(step.keys))
    return problem(422, reason, [Wrong(key, reason)])


def _value(config: Config, key: str) -> Any:
    table, _, name = key.partition(".")
    return getattr(getattr(config, table), name)
