"""Changes of a running pipeline: any sequence of them, of kills and of restarts ends in the configuration's state."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from livemef.capture.child import Command, Report
from livemef.tools.config.live_keys import changed_config, live_values
from livemef.tools.config.schema import Config
from livemef.tools.exits import UserError
from livemef.tools.run.control import ANSWER_LIMIT_S, Control
from livemef.tools.run.live_state import LiveState
from livemef.tools.run.outcome import Outcome

CANNOT = "3333us"
"""The model camera refuses plans with this exposure, though they can be parsed."""


HELD = "500us@1,8000us@1"


@dataclass
class Process:
    """A model of capture or fusion: takes commands in order, when it is its turn."""

    config: Config
    inbox: deque[Command] = field(default_factory=deque)


class Model:
    """Stands in for the supervisor and its processes."""

    def __init__(self, camera: bool = True, reload: Any = None, save: Any = None) -> None:
        self.now_s = 0.0
        self.state = LiveState(Config(), reload)
        self.entries: list[dict[str, Any]] = []
        self.gate: list[Command] = []
        self.processes: dict[str, Process | None] = {}
        self.restarts: list[str] = []
        self.control = Control(
            self,
            self.state,
            sets_exposures=lambda: camera,
            save=save,
            audit=self.entries.append,
            clock=lambda: self.now_s,
        )
        self.asks = 0
        for name in ("capture", "fusion"):
            self.spawn(name)

    def spawn(self, name: str) -> None:
        self.processes[name] = Process(self.state.config)

    def kill(self, name: str) -> None:
        self.processes[name] = None
        self.control.on_end(name)

    def tell(self, name: str, message: Command | str) -> bool:
        assert isinstance(message, Command)
        if name == "preview":
            self.gate.append(message)
            return True
        process = self.processes[name]
        if process is None:
            return False
        process.inbox.append(message)
        return True

    def is_there(self, name: str) -> bool:
        return self.processes[name] is not None

    def restart(self, name: str) -> bool:
        self.restarts.append(name)
        if name in self.processes and self.processes[name] is not None:
            self.kill(name)
            self.spawn(name)
        return True

    def ask(self, do: str, **values: Any) -> int:
        self.asks += 1
        self.control.on_report("preview", Report("ask", values={"ask": self.asks, "do": do, "who": "tester", **values}))
        return self.asks

    def change(self, table: str, **change: Any) -> int:
        return self.ask("change", table=table, change=change)

    def work(self, name: str, count: int = 1000) -> None:
        """Let a process take in that many commands."""
        while count and (process := self.processes[name]) is not None and process.inbox:
            count -= 1
            command = process.inbox.popleft()
            answer = self._obeyed(name, process, command)
            if command.number:
                self.control.on_report(name, Report("answer", values={"number": command.number, **answer}))

    def _obeyed(self, name: str, process: Process, command: Command) -> dict[str, Any]:
        values = dict(command.values)
        if name == "capture":
            if command.name == "hold":
                process.config = changed_config(process.config, "capture", {"exposures": HELD})
                return {"refused": "", "exposures": HELD}
            if CANNOT in values["exposures"]:
                return {"refused": "outside what the camera can do"}
            process.config = changed_config(process.config, "capture", values)
            return {"refused": "", "restart": values["exposures"].count(",") == 2}
        values.pop("settings_rev")
        if values.get("settings") is not None:
            process.config = process.config.model_copy(update={"fusion": values["settings"]})
        if "codec" in values:
            process.config = changed_config(process.config, "publish", {"codec": values["codec"]})
        if "bracket_mode" in values:
            process.config = changed_config(process.config, "capture", {"bracket_mode": values["bracket_mode"]})
        return {"refused": ""}

    def settle(self) -> None:
        quiet = 0
        while quiet < 3:
            quiet += 1
            for name in self.processes:
                if self.processes[name] is None:
                    self.spawn(name)
                if self.processes[name].inbox:  # type: ignore[union-attr]
                    quiet = 0
                self.work(name)
            self.control.step()

    def answers(self, ask: int | None = None) -> list[Outcome]:
        found = [command.values for command in self.gate if command.name == "answer"]
        return [Outcome(one["status"], one["body"]) for one in found if ask in (None, one["ask"])]

    def events(self) -> list[dict[str, Any]]:
        return [command.values["data"] for command in self.gate if command.name == "event"]


def of_fusion(config: Config) -> Any:
    values = live_values(config)
    return values["fusion"], values["publish"], values["capture"]["bracket_mode"]


def of_capture(config: Config) -> Any:
    values = live_values(config)["capture"]
    return values["exposures"], values["gain"], values["mains_hz"]


CHANGES = st.one_of(
    st.tuples(st.just("fusion"), st.dictionaries(st.just("gamma"), st.sampled_from([0.5, 0.8, 2.0, 9.0]), min_size=1)),
    st.tuples(st.just("fusion"), st.fixed_dictionaries({"motion": st.sampled_from(["off", "full"])})),
    st.tuples(st.just("publish"), st.fixed_dictionaries({"codec": st.sampled_from(["raw", "jpeg", "bmp"])})),
    st.tuples(
        st.just("capture"),
        st.fixed_dictionaries(
            {},
            optional={
                "exposures": st.sampled_from(["auto", "1ms,16ms", "2ms,8ms", "1ms,4ms,16ms", f"{CANNOT},9ms", "x"]),
                "bracket_mode": st.sampled_from(["sliding", "disjoint"]),
                "gain": st.sampled_from([1.0, 2.0]),
            },
        ),
    ),
)


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.revision = self.model.state.revision

    @rule(change=CHANGES)
    def change(self, change: tuple[str, dict[str, Any]]) -> None:
        self.model.change(change[0], **change[1])

    @rule(do=st.sampled_from(["hold", "auto", "revert", "save"]))
    def act(self, do: str) -> None:
        self.model.ask(do)

    @rule(name=st.sampled_from(["capture", "fusion", "gate"]))
    def restart(self, name: str) -> None:
        self.model.ask("restart", process=name)

    @rule(name=st.sampled_from(["capture", "fusion"]), count=st.integers(1, 3))
    def work(self, name: str, count: int) -> None:
        self.model.work(name, count)

    @rule(name=st.sampled_from(["capture", "fusion"]))
    def kill(self, name: str) -> None:
        if self.model.is_there(name):
            self.model.kill(name)

    @rule(name=st.sampled_from(["capture", "fusion"]))
    def spawn(self, name: str) -> None:
        if not self.model.is_there(name):
            self.model.spawn(name)

    @rule(seconds=st.sampled_from([0.1, ANSWER_LIMIT_S + 1]))
    def wait(self, seconds: float) -> None:
        self.model.now_s += seconds
        self.model.control.step()

    @precondition(lambda self: self.model.asks > 0)
    @rule()
    def settle(self) -> None:
        self.model.settle()
        for name, of in (("capture", of_capture), ("fusion", of_fusion)):
            process = self.model.processes[name]
            assert process is not None
            assert of(process.config) == of(self.model.state.config), name
        assert len(self.model.answers()) == self.model.asks

    @invariant()
    def the_revision_grows_with_every_change_and_only_then(self) -> None:
        grown = [event["revision"] for event in self.model.events() if event.get("changed")]
        assert grown == sorted(set(grown))
        assert self.model.state.revision == (grown[-1] if grown else 1)

    def teardown(self) -> None:
        if self.model.asks:
            self.settle()


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis.settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_a_change_is_answered_when_the_process_has_taken_it() -> None:
    model = Model()
    ask = model.change("fusion", gamma=0.8)
    assert not model.answers(ask)
    model.work("fusion")
    (outcome,) = model.answers(ask)
    assert (outcome.status, outcome.body["revision"], outcome.body["changed"]) == (200, 2, {"fusion.gamma": 0.8})
    assert outcome.body["values"]["fusion"]["gamma"] == 0.8
    assert model.events() == [{"revision": 2, "who": "tester", "changed": {"fusion.gamma": 0.8}, "action": "set"}]
    assert model.state.by == {"fusion.gamma": "tester"}
    assert model.entries[-1]["status"] == 200


@pytest.mark.parametrize(
    ("table", "change", "status"),
    [
        ("fusion", {"gamma": 9.0}, 422),
        ("fusion", {"gama": 1.0}, 422),
        ("capture", {"camera": "sim://"}, 422),
        ("capture", {"exposures": f"{CANNOT},9ms"}, 422),
    ],
)
def test_a_refused_change_leaves_everything_alone(table: str, change: dict[str, Any], status: int) -> None:
    model = Model()
    ask = model.change(table, **change)
    model.settle()
    assert [outcome.status for outcome in model.answers(ask)] == [status]
    assert model.answers(ask)[0].body["errors"][0]["key"].startswith(table)
    assert (model.state.revision, model.state.config, model.events()) == (1, Config(), [])


def test_a_stale_revision_is_refused_with_what_is_there_now() -> None:
    model = Model()
    model.change("fusion", gamma=0.8)
    model.settle()
    ask = model.ask("change", table="fusion", change={"gamma": 0.5}, if_match=1)
    (outcome,) = model.answers(ask)
    assert (outcome.status, outcome.body["revision"], outcome.body["values"]["fusion"]["gamma"]) == (412, 2, 0.8)
    model.ask("change", table="fusion", change={"gamma": 0.5}, if_match=2)
    model.settle()
    assert model.state.config.fusion.gamma == 0.5


def test_a_recording_has_no_exposures_to_set() -> None:
    model = Model(camera=False)
    asks = [model.change("capture", exposures="1ms,2ms"), model.ask("hold")]
    model.settle()
    assert [outcome.status for ask in asks for outcome in model.answers(ask)] == [409, 409]
    ask = model.change("capture", bracket_mode="disjoint")
    model.settle()
    assert model.answers(ask)[0].status == 200


def test_another_number_of_exposures_restarts_the_camera_s_process_with_them() -> None:
    model = Model()
    model.change("capture", exposures="1ms,4ms,16ms")
    model.settle()
    assert model.restarts == ["capture"]
    process = model.processes["capture"]
    assert process is not None
    assert process.config.capture.exposures == "1ms,4ms,16ms"


def test_hold_keeps_what_auto_found_also_after_a_restart() -> None:
    model = Model()
    model.ask("hold")
    model.settle()
    assert model.state.config.capture.exposures == HELD
    model.ask("auto")
    model.settle()
    assert model.state.config.capture.exposures == "auto"


def test_fusion_that_dies_over_a_change_comes_back_with_it_and_capture_without() -> None:
    model = Model()
    asks = [model.change("fusion", gamma=0.8)]
    model.kill("fusion")
    asks.append(model.change("capture", exposures="1ms,2ms"))
    model.kill("capture")
    model.settle()
    assert [outcome.status for ask in asks for outcome in model.answers(ask)] == [200, 503]
    assert (model.state.config.fusion.gamma, model.state.config.capture.exposures) == (0.8, "auto")


def test_a_slow_change_is_pending_and_undone_if_it_is_refused_after_all() -> None:
    model = Model()
    ask = model.change("fusion", network_lines=200)
    process = model.processes["fusion"]
    assert process is not None
    number = process.inbox.popleft().number
    model.now_s += ANSWER_LIMIT_S
    model.control.step()
    assert (model.answers(ask)[0].status, model.answers(ask)[0].body["pending"]) == (202, True)
    model.control.on_report("fusion", Report("answer", values={"number": number, "refused": "no memory"}))
    assert model.state.config == Config()
    assert model.events()[-1]["action"] == "undone"
    assert model.events()[-1]["revision"] == 3


def test_revert_goes_back_to_what_the_files_say_now() -> None:
    files = [changed_config(Config(), "fusion", {"gamma": 1.5})]
    model = Model(reload=lambda: files[0])
    model.change("fusion", gamma=0.8, motion="off")
    model.ask("revert")
    model.settle()
    assert model.state.config == files[0]
    assert model.state.snapshot()["changed"] == []


def test_what_cannot_be_read_or_written_is_said() -> None:
    def unreadable() -> Config:
        raise UserError("configuration file x: gone")

    model = Model(reload=unreadable)
    asks = [model.ask("revert"), model.ask("save")]
    assert [model.answers(ask)[0].status for ask in asks] == [409, 409]
    saved: list[Any] = []
    model = Model(save=lambda values: saved.append(dict(values)) or Outcome(200, {"file": "x"}))
    model.change("fusion", gamma=0.8)
    model.settle()
    ask = model.ask("save")
    assert (saved, model.answers(ask)[0].status) == ([{"fusion.gamma": 0.8}], 200)


def test_an_unknown_process_is_named() -> None:
    model = Model()
    ask = model.ask("restart", process="init")
    (outcome,) = model.answers(ask)
    assert (outcome.status, outcome.body["errors"][0]["key"]) == (422, "process")


def test_a_flood_of_requests_is_refused_not_kept() -> None:
    model = Model()
    asks = [model.change("fusion", gamma=0.5 + number / 1000) for number in range(100)]
    refused = [ask for ask in asks if model.answers(ask) and model.answers(ask)[0].status == 503]
    assert len(refused) == 100 - 1 - 64
