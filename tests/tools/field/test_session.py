"""An open session, asked by its page's API and by verbs from another terminal."""

import base64
import itertools
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import bagit
import cv2
import numpy as np
import pytest

import livemef
from livemef.tools.cli import main
from tests.tools.field.session_rig import LIMIT_S, Session, make_project


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    project = make_project(tmp_path_factory.mktemp("field") / "museum", definition="livemef-sheet", pattern="KR-[0-9]+")
    session = Session(project, "--operator", "Kim")
    yield session
    session.close()


def refusal(session: Session, body: dict[str, object]) -> str:
    """Why a take is refused: said at once, or, where that takes a while, in the session's state."""
    status, answer = session.call("POST", "session/take", body)
    assert status in (202, 409)
    if status == 409:
        return str(answer["detail"])
    return str(session.until(lambda state: state["refused"] and not state["doing"])["refused"])


def picture(encoded: str) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found


def test_before_a_target_no_object_is_taken(session: Session) -> None:
    state = session.state()
    assert state["red"] == ["no target yet: put a ColorChecker in the object's place and take it as target"]
    assert state["plan"] == ["1 ms", "5 ms", "25 ms"]
    assert (state["operator"], state["objects"], state["last"], state["target"]) == ("Kim", 0, [], None)
    assert state["objects_left"] > 0
    status, answer = session.call("POST", "session/take", {"id": "KR-1"})
    assert status == 409
    assert "no target yet" in answer["detail"]


def test_only_who_has_the_token_takes(session: Session) -> None:
    assert session.call("GET", "session", token=None)[0] == 200  # on this machine everybody may look
    for path in ("session/take", "session/target", "session/note"):
        assert session.call("POST", path, {"text": "x"} if path.endswith("note") else {}, token=None)[0] in (401, 403)
    assert session.call("POST", "session/take", {"id": 7})[0] == 422
    assert session.call("POST", "session/take", {"id": "KR-1", "path": "/etc"})[0] == 422
    assert session.call("GET", "session/objects/..%2f..%2fetc/thumb")[0] == 404


def test_the_state_is_an_event_for_who_begins_to_listen(session: Session) -> None:
    events = session.events()
    assert next(events)[0] == "hello"
    next(event for event in events if event[0] == "session")  # the page's server knows the state from here on
    late = session.events()
    assert [next(late)[0], next(late)[0]] == ["hello", "session"]
    _, state = next(event for event in events if event[0] == "session")  # and again, as it changes or stays
    assert state["red"] == session.state()["red"]
    assert "project" not in state


def test_a_target_then_objects(session: Session) -> None:
    assert session.call("POST", "session/target")[0] in (200, 202)  # 200: it was done within the call's time
    target = session.until(lambda state: state["target"] and not state["doing"])["target"]
    assert target["name"] == "T0001"
    assert target["de00_mean"] < 1
    assert target["pixels_per_inch"] == pytest.approx(640 / 11.5 / 40 * 25.4, rel=0.01)
    assert session.state()["red"] == []
    for bad in ("kr-1", "../etc", "KR-1; rm -rf /"):
        assert "does not match" in refusal(session, {"id": bad})
    assert session.call("POST", "session/note", {"text": "표지가 찢어짐"})[0] == 200
    assert session.call("POST", "session/take", {"id": "KR-1"})[0] in (200, 202)
    state = session.until(lambda state: state["objects"] == 1 and not state["doing"])
    assert state["last"][0]["object"] == "KR-1"
    assert session.call("POST", "session/take", {"part": True})[0] in (200, 202)
    state = session.until(lambda state: state["objects"] == 2 and not state["doing"])
    assert [entry["name"] for entry in state["last"]] == ["KR-1_p0002", "KR-1"]
    assert [entry["name"] for entry in session.call("GET", "session/objects")[1]["objects"]] == ["KR-1_p0002", "KR-1"]
    assert "retake" in refusal(session, {"id": "KR-1"})
    sidecar = json.loads((session.folder / "objects/KR-1/data/KR-1.json").read_text())
    assert (sidecar["note"], sidecar["operator"]) == ("표지가 찢어짐", "Kim")
    assert sidecar["master"]["target"] == "T0001"


def test_thumbs_and_clipping(session: Session) -> None:
    status, answer = session.call("GET", "session/objects/KR-1/thumb")
    assert status == 200
    assert picture(answer["jpeg"]).shape == (135, 240, 3)
    assert session.call("GET", "session/objects/session.toml/thumb")[0] == 409
    overlay = picture(session.call("GET", "session/clipping")[1]["png"])
    assert overlay.shape[2] == 4
    assert overlay[..., 3].max() == 0  # nothing clips in 1 ms


def test_the_live_badge_sees_the_target(session: Session) -> None:
    live = session.until(lambda state: state["live"] and state["live"]["in_view"])["live"]
    assert live["de00_mean"] < 1.5
    assert abs(live["white_dl"]) < 0.5
    assert live["moved_px"] < 0.3


def test_verbs_from_another_terminal(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    project = str(session.folder.parent)
    assert main(["shoot", "take", "KR-2", "--note", "blue", "--project", project]) == 0
    assert "KR-2: stored in" in capsys.readouterr().out
    assert main(["shoot", "take", "--retake", "--project", project, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"].endswith("objects/KR-2.r2")
    assert main(["shoot", "status", project, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["state"], row["objects"], row["now"]["objects"]) == ("open", 4, 4)
    assert main(["shoot", "target", "--project", project]) == 0
    assert "indicative" in capsys.readouterr().out
    for arguments, says in (
        (["take", "KR-2", "--project", project], "retake"),
        (["take", "--project", project], "which object"),
        (["take", "KR-3", "--project", str(session.folder)], "no session is open"),
    ):
        assert main(["shoot", *arguments]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert says in line


def test_what_happens_is_told_without_token_and_places(session: Session) -> None:
    """The token makes who looks one who takes; standard output is kept in journals."""
    with urllib.request.urlopen(f"{session.page}api/v1/events", timeout=30) as answer:
        life = next(line.decode().split()[1].partition("-")[0] for line in answer if line.startswith(b"id: "))
    told = list(itertools.islice(session.events(f"{life}-0"), 8))
    assert ("open", session.folder.name) in [(data.get("event"), data.get("session")) for _, data in told]
    for text in (json.dumps(told), json.dumps(session.opened)):
        assert session.token not in text
        assert "token" not in text
    assert str(session.folder.parent) not in json.dumps(told)
    assert session.opened["page"] == session.page


def test_ctl_and_the_client_reach_the_pipeline_of_a_session(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    run = session.run
    assert run.page == session.page
    assert main(["ctl", "set", "fusion.gamma=0.8", "--at", run.control]) == 0
    capsys.readouterr()
    assert main(["ctl", "get", "fusion.gamma", "--at", run.control]) == 0
    assert capsys.readouterr().out == "0.8\n"
    with livemef.control(run.control) as camera:
        events = camera.events(LIMIT_S)
        first = next(event for event in events if event.event == "session")
        assert first.data["objects"] == session.state()["objects"]
        session.call("POST", "session/take", {"part": True})
        stored = next(event for event in events if event.event == "session_event")
    assert (stored.data["event"], stored.data["part"]) == ("stored", 2)
    assert stored.data["folder"] == "KR-2_p0002"  # where that lies on the machine is nobody's business
    assert main(["ctl", "set", "capture.exposures=1ms,7ms,25ms", "--at", run.control]) == 0
    (red,) = session.until(lambda state: state["red"])["red"]
    assert "an exposure is 7 ms where the session has 5 ms" in red
    assert main(["ctl", "set", "capture.exposures=1ms,5ms,25ms", "--at", run.control]) == 0
    session.until(lambda state: not state["red"])


def children(pid: int) -> dict[str, int]:
    """Process ids of the pipeline under a session, by name."""
    pids = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for path in pids for child in path.read_text().split()]
    return {Path(f"/proc/{child}/comm").read_text().strip(): child for child in found}


@pytest.mark.parametrize("name", ["capture", "fusion"])
def test_a_process_that_dies_ends_no_session(session: Session, name: str) -> None:
    before = session.state()["objects"]
    os.kill(children(session.process.pid)[f"livemef-{name}"], signal.SIGKILL)
    session.until(lambda state: any("no pictures" in reason for reason in state["red"]))
    session.until(lambda state: not state["red"] and not state["doing"])
    assert session.call("POST", "session/take", {"id": f"KR-{before}00"})[0] in (200, 202)
    session.until(lambda state: state["objects"] == before + 1 and not state["doing"])


def test_a_signal_closes_what_is_whole(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    events = session.close()
    assert session.process.returncode == 0
    assert events[-1]["event"] == "closed"
    assert events[-1]["objects"] == 7
    names = sorted(path.name for path in (session.folder / "objects").iterdir())
    assert names == ["KR-1", "KR-1_p0002", "KR-2", "KR-2.r2", "KR-2_p0002", "KR-500", "KR-600"]
    assert all(bagit.Bag(str(session.folder / "objects" / name)).is_valid() for name in names)
    assert main(["shoot", "status", str(session.folder.parent), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["state"], row["targets"], row["fault"], row["now"]) == ("closed", 2, "", None)


@pytest.mark.full
def test_two_sessions_of_one_project_do_not_meet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path / "museum", before_first=False)
    first = Session(project)
    second = Session(project, "--operator", "Lee")
    try:
        assert first.folder != second.folder
        for session in (first, second):
            session.call("POST", "session/take", {"id": "KR-1"})
        for session in (first, second):
            session.until(lambda state: state["objects"] == 1 and not state["doing"])
        assert main(["shoot", "take", "KR-2", "--project", str(project)]) == 2
        assert "2 sessions are open" in capsys.readouterr().err
    finally:
        ended = [first.close(), second.close()]
    assert [events[-1]["objects"] for events in ended] == [1, 1]
    assert main(["shoot", "verify", str(project)]) == 0
    assert "2 bags valid" in capsys.readouterr().out
