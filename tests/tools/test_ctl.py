"""`livemef ctl` without a run: what is typed, and where a run is looked for."""

import pytest

from livemef.fusion.stream.control import control, the_only_run
from livemef.fusion.stream.control_doors import ControlError
from livemef.fusion.stream.local_runs import local_runs
from livemef.tools.cli import main
from livemef.tools.config.schema import Config
from livemef.tools.ctl import assignments
from livemef.tools.exits import UserError
from livemef.tools.run.pipeline import Place
from livemef.tools.run.run_files import write_run_files
from livemef.tools.run.runtime_folder import runtime_folder


def test_values_are_numbers_where_they_look_like_it() -> None:
    typed = ["fusion.gamma=0.8", "fusion.network_lines=full", "capture.exposures=1ms,16ms", "fusion.window_radius=5"]
    assert assignments(typed) == {
        "fusion.gamma": 0.8,
        "fusion.network_lines": 0,
        "capture.exposures": "1ms,16ms",
        "fusion.window_radius": 5,
    }
    for wrong in ("gamma=1", "fusion.gamma", ""):
        with pytest.raises(UserError, match="write TABLE"):
            assignments([wrong])


def test_runs_that_live_are_found_and_no_others(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("livemef.fusion.stream.control.local_runs", lambda: local_runs(tmp_path))
    with pytest.raises(ControlError, match="no livemef run"):
        the_only_run()
    with runtime_folder(tmp_path) as first:
        assert local_runs(tmp_path) == []  # not written yet
        write_run_files(Place(first), Config())
        assert the_only_run().folder == first
        assert (first / "control.token").stat().st_mode & 0o777 == 0o600
        token = (first / "control.token").read_text().strip()
        assert the_only_run().page_with_token() == f"http://127.0.0.1:8080/?token={token}"
        with runtime_folder(tmp_path) as second:
            write_run_files(Place(second), Config())
            with pytest.raises(ControlError, match="2 runs are here"):
                the_only_run()
        (tmp_path / "livemef-run-dead").mkdir()
        for name, text in (("lock", ""), ("run.json", '{"pid": 1, "page": null, "camera": "x"}')):
            (tmp_path / "livemef-run-dead" / name).write_text(text)
        assert [run.folder for run in local_runs(tmp_path)] == [first]


def test_what_does_not_answer_is_one_line(tmp_path) -> None:
    with control("http://127.0.0.1:9", token="x") as nobody, pytest.raises(ControlError, match="does not answer"):
        nobody.auto()
    with control(f"ipc://{tmp_path}/none", timeout_s=0.1) as nobody, pytest.raises(ControlError, match="not answer"):
        nobody.auto()
    with pytest.raises(ControlError, match="no address"):
        control("camera.local")


@pytest.mark.parametrize("typed", [("--at", "x", "get"), ("--at=x", "get"), ("get", "--at", "x")])
def test_the_address_may_stand_before_the_command(typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl", *typed]) == 2
    assert capsys.readouterr().err.startswith("livemef: x: is no address")
