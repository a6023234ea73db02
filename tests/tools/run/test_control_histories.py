"""Changes of a running pipeline: any sequence of them, of kills and of restarts ends in the configuration's state."""

from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from livemef.tools.config.live_keys import live_values
from livemef.tools.config.schema import Config
from livemef.tools.run.control import ANSWER_LIMIT_S
from tests.tools.run.control_model import CANNOT, Model


def of_fusion(config: Config) -> Any:
    values = live_values(config)
    return values["fusion"], values["publish"], values["capture"]["bracket_mode"], values["runtime"]


def of_capture(config: Config) -> Any:
    values = live_values(config)["capture"]
    return values["exposures"], values["gain"], values["mains_hz"], config.camera_in_use


CHANGES = st.one_of(
    st.tuples(st.just("fusion"), st.dictionaries(st.just("gamma"), st.sampled_from([0.5, 0.8, 2.0, 9.0]), min_size=1)),
    st.tuples(st.just("fusion"), st.fixed_dictionaries({"motion": st.sampled_from(["off", "full"])})),
    st.tuples(st.just("publish"), st.fixed_dictionaries({"codec": st.sampled_from(["raw", "jpeg", "bmp"])})),
    st.tuples(st.just("control"), st.fixed_dictionaries({"camera": st.sampled_from(["", "front", "macro", "sim://"])})),
    st.tuples(
        st.just("runtime"),
        st.fixed_dictionaries(
            {}, optional={"device": st.sampled_from(["auto", "cpu", "cuda"]), "threads": st.sampled_from([0, 1, 4, -1])}
        ),
    ),
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
