"""Changes of a running pipeline, one by one: what is answered, told and restarted."""

from typing import Any

import pytest

from livemef.capture.child import Report
from livemef.tools.config.live_keys import changed_config
from livemef.tools.config.schema import Config
from livemef.tools.exits import UserError
from livemef.tools.run.control import ANSWER_LIMIT_S
from livemef.tools.run.outcome import Outcome
from tests.tools.run.control_model import BASE, CANNOT, HELD, Model


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
        ("control", {"camera": "rear"}, 422),
        ("runtime", {"device": "cuda"}, 422),
        ("capture", {"exposures": f"{CANNOT},9ms"}, 422),
    ],
)
def test_a_refused_change_leaves_everything_alone(table: str, change: dict[str, Any], status: int) -> None:
    model = Model()
    ask = model.change(table, **change)
    model.settle()
    assert [outcome.status for outcome in model.answers(ask)] == [status]
    assert model.answers(ask)[0].body["errors"][0]["key"].startswith(table)
    assert (model.state.revision, model.state.config, model.events()) == (1, BASE, [])
    assert model.restarts == []


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


def test_a_camera_is_chosen_by_name_and_only_its_process_starts_again() -> None:
    model = Model()
    ask = model.change("control", camera="macro")
    model.settle()
    (outcome,) = model.answers(ask)
    assert (outcome.status, outcome.body["revision"]) == (200, 2)
    assert model.restarts == ["capture"]
    process = model.processes["capture"]
    assert process is not None
    assert process.config.camera_in_use.camera == "v4l2:///dev/video2"
    model.kill("capture")
    model.settle()
    assert model.processes["capture"].config.camera_in_use.camera == "v4l2:///dev/video2"  # type: ignore[union-attr]
    assert model.answers(model.change("control", camera="macro"))[0].body["revision"] == 2  # nothing new in it
    assert model.restarts == ["capture"]


def test_device_and_threads_start_fusion_again_with_all_that_was_changed_before() -> None:
    model = Model()
    model.change("fusion", gamma=0.8)
    ask = model.change("runtime", device="cpu", threads=1)
    model.settle()
    assert model.answers(ask)[0].body["changed"] == {"runtime.device": "cpu", "runtime.threads": 1}
    assert model.restarts == ["fusion"]
    config = model.processes["fusion"].config  # type: ignore[union-attr]
    assert (config.fusion.gamma, config.runtime.device, config.runtime.threads) == (0.8, "cpu", 1)


def test_revert_takes_camera_device_and_settings_back_at_once() -> None:
    model = Model()
    for table, change in (
        ("control", {"camera": "front"}),
        ("runtime", {"threads": 2}),
        ("fusion", {"gamma": 0.8}),
        ("capture", {"exposures": "1ms,16ms"}),
    ):
        model.change(table, **change)
        model.settle()
    model.restarts.clear()
    ask = model.ask("revert")
    model.settle()
    assert model.answers(ask)[0].status == 200
    assert model.state.config == BASE
    assert sorted(model.restarts) == ["capture", "fusion"]


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
    assert model.state.config == BASE
    assert model.events()[-1]["action"] == "undone"
    assert model.events()[-1]["revision"] == 3


def test_revert_goes_back_to_what_the_files_say_now() -> None:
    files = [changed_config(BASE, "fusion", {"gamma": 1.5})]
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
