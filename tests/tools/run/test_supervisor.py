import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.child import Lifeline
from livemef.tools.run.restart_policy import RestartPolicy
from livemef.tools.run.spawning import SPAWN, ChildSpec
from livemef.tools.run.supervisor import StartFailed, Supervisor
from tests.tools.run import child_bodies

ROOT = Path(__file__).parents[3]


class Stage:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._log = caplog
        self.supervisor: Supervisor | None = None

    def run(self, target: Callable[..., None], policy: RestartPolicy | None = None) -> Supervisor:
        self.supervisor = Supervisor([ChildSpec("a", target, tuple)], policy or RestartPolicy())
        self.supervisor.start()
        return self.supervisor

    @property
    def logged(self) -> list[str]:
        return self._log.messages


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Iterator[Stage]:
    stage = Stage(caplog)
    yield stage
    if stage.supervisor is not None:
        stage.supervisor.stop()


def until(supervisor: Supervisor, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        supervisor.step(0.05)


def test_a_killed_child_comes_back_and_its_counters_add_up(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.counting)
    child = supervisor.children["a"]
    until(supervisor, lambda: child.count("count") > 5)
    assert child.described == {"colour": "blue"}
    before = child.count("count")
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    until(supervisor, lambda: child.restarts == 1 and child.ready and child.count("count") > before + 5)
    assert child.process.pid != first
    assert "SIGKILL" in stage.logged[0]


def test_stop_ends_everything_and_hears_the_last_counters(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.counting)
    child = supervisor.children["a"]
    until(supervisor, lambda: child.count("count") > 0)
    pid = child.process.pid
    supervisor.stop()
    assert not psutil.pid_exists(pid)
    assert child.finished
    assert child.count("count") > 0


def test_a_fault_of_the_surroundings_at_start_is_told_as_such(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.failing)
    with pytest.raises(StartFailed, match="no such camera") as caught:
        until(supervisor, lambda: False)
    assert caught.value.surroundings


def test_a_bug_at_start_is_told_as_such(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.crashing)
    with pytest.raises(StartFailed, match="ValueError") as caught:
        until(supervisor, lambda: False)
    assert not caught.value.surroundings


def test_a_hung_child_is_killed_and_replaced(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.hanging, RestartPolicy(beat_limit_s=0.5))
    until(supervisor, lambda: supervisor.children["a"].restarts >= 1)
    assert any("no sign of life" in line for line in stage.logged)


def test_a_finished_child_is_not_restarted(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.finishing)
    child = supervisor.children["a"]
    until(supervisor, lambda: child.process is None)
    supervisor.step(0.05)
    assert child.finished
    assert child.restarts == 0
    assert child.count("count") == 7


def test_children_die_with_a_supervisor_that_is_killed() -> None:
    script = textwrap.dedent(
        """
        from tests.tools.run import child_bodies
        from livemef.tools.run.restart_policy import RestartPolicy
        from livemef.tools.run.spawning import ChildSpec
        from livemef.tools.run.supervisor import Supervisor
        if __name__ == "__main__":
            supervisor = Supervisor([ChildSpec("a", child_bodies.counting, tuple)], RestartPolicy())
            supervisor.start()
            while not supervisor.children["a"].ready:
                supervisor.step(0.05)
            print(supervisor.children["a"].process.pid, flush=True)
            while True:
                supervisor.step(1)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(30)
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@given(st.integers(1, 60))
def test_waits_grow_and_are_bounded(failures: int) -> None:
    policy = RestartPolicy()
    assert policy.wait_s(1) == 0
    assert policy.wait_s(failures) <= policy.wait_s(failures + 1) <= policy.longest_wait_s


def test_a_healthy_stretch_forgives() -> None:
    policy = RestartPolicy()
    assert policy.failures(5, lived_s=policy.healthy_after_s) == 1
    assert policy.failures(5, lived_s=1.0) == 6


def test_children_do_not_hear_ctrl_c_themselves(stage: Stage) -> None:
    specs = [ChildSpec(name, child_bodies.counting, tuple) for name in ("a", "b")]
    stage.supervisor = supervisor = Supervisor(specs, RestartPolicy())
    supervisor.start()
    children = list(supervisor.children.values())
    until(supervisor, lambda: all(child.ready for child in children))
    for child in children:
        os.kill(child.process.pid, signal.SIGINT)
    before = [child.count("count") for child in children]
    until(supervisor, lambda: all(child.count("count") > b for child, b in zip(children, before, strict=True)))
    assert not stage.logged


def test_counters_stay_while_the_camera_is_waited_for(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.stalling)
    child = supervisor.children["a"]
    until(supervisor, lambda: child.values.get("state") == "waiting for the camera")
    assert child.count("captured") == 20


def test_the_last_counters_of_a_life_that_failed_are_counted(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.counting_then_failing)
    child = supervisor.children["a"]
    until(supervisor, lambda: child.restarts == 2)
    assert child.totals["captured"] == 2 * 94


def lifeline_on(pipe: Connection) -> Lifeline:
    before = signal.getsignal(signal.SIGTERM)
    lifeline = Lifeline(pipe)
    signal.signal(signal.SIGTERM, before)
    return lifeline


@pytest.mark.full
def test_a_slow_opening_sends_heartbeats_for_a_limited_time() -> None:
    ours, theirs = SPAWN.Pipe()
    with lifeline_on(theirs).opening("opening the camera", limit_s=3.0):
        deadline = time.monotonic() + 20
        for _ in range(2):
            assert ours.poll(deadline - time.monotonic())
            assert ours.recv().values == {"state": "opening the camera"}
        time.sleep(3.5)
        while ours.poll():
            ours.recv()
        assert not ours.poll(0.6)
    for end in (ours, theirs):
        end.close()


def test_a_child_that_never_gets_ready_is_a_failed_start_with_growing_waits(stage: Stage) -> None:
    policy = RestartPolicy(start_limit_s=0.7, healthy_after_s=0.1, first_wait_s=0.05)
    supervisor = stage.run(child_bodies.opening_for_ever, policy)
    child = supervisor.children["a"]
    until(supervisor, lambda: child.restarts == 2)
    assert child.failures == 2
    assert any("not ready after" in line for line in stage.logged)


def test_what_a_child_prints_arrives_and_never_stops_it() -> None:
    texts: list[str] = []
    supervisor = Supervisor(
        [ChildSpec("a", child_bodies.chattering, tuple)], RestartPolicy(beat_limit_s=20.0), relay=texts.append
    )
    supervisor.start()
    child = supervisor.children["a"]
    until(supervisor, lambda: child.count("count") > 100)
    supervisor.stop()
    assert child.restarts == 0
    assert "a library prints" in "".join(texts)
    assert "\\xff and complains" in "".join(texts)


def test_beats_are_dropped_while_the_supervisor_does_not_read() -> None:
    """A supervisor that stands still stops nobody: the pipe would be full after some seconds of beats."""
    ours, theirs = SPAWN.Pipe()
    lifeline = lifeline_on(theirs)
    began = time.monotonic()
    for _ in range(2000):
        lifeline._last_beat = 0.0
        lifeline.beat(text="x" * 2000)
    assert time.monotonic() - began < 20
    assert not lifeline.stopping
    received = 0
    while ours.poll():
        assert ours.recv().kind == "beat"
        received += 1
    assert 10 < received < 2000
    for end in (ours, theirs):
        end.close()


def test_a_whole_group_that_was_stopped_is_not_hung(stage: Stage) -> None:
    now = [100.0]
    supervisor = Supervisor([ChildSpec("a", child_bodies.counting, tuple)], RestartPolicy(), clock=lambda: now[0])
    stage.supervisor = supervisor
    supervisor.start()
    supervisor.step(0.0)
    now[0] += 8.0  # docker pause: neither the supervisor nor the child ran
    supervisor.step(0.0)
    child = supervisor.children["a"]
    assert now[0] - child.last_heard < 1.0
    assert child.restarts == 0
    for _ in range(90):  # but silence in turns that did take place counts
        now[0] += 0.9
        supervisor._discount_absence(0.1)
    assert now[0] - child.last_heard > RestartPolicy().start_limit_s


def test_a_limit_of_the_system_is_no_bug(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.lacking_files)
    with pytest.raises(StartFailed, match="ulimit -n") as caught:
        until(supervisor, lambda: False)
    assert caught.value.surroundings


def test_a_bug_at_start_brings_its_traceback(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.crashing)
    with pytest.raises(StartFailed) as caught:
        until(supervisor, lambda: False)
    assert "_raise_value_error" in str(caught.value.__cause__)


def test_a_process_that_ends_before_its_first_word_under_a_limit_of_memory_is_no_bug(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenBLAS and the like end the process themselves."""
    monkeypatch.setattr("resource.getrlimit", lambda what: (1 << 29, 1 << 29))
    supervisor = stage.run(child_bodies.ending_without_a_word)
    with pytest.raises(StartFailed, match=r"^a: ended with exit code 1; .*ulimit -v") as caught:
        until(supervisor, lambda: False)
    assert caught.value.surroundings


def test_a_process_that_ends_before_its_first_word_without_a_limit_is_a_bug(stage: Stage) -> None:
    supervisor = stage.run(child_bodies.ending_without_a_word)
    with pytest.raises(StartFailed, match=r"^ended with exit code 1$") as caught:
        until(supervisor, lambda: False)
    assert not caught.value.surroundings


def test_python_that_may_not_be_executed_is_no_bug(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    locked = tmp_path / "python"
    locked.write_bytes(b"")
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: str(locked).encode())
    with pytest.raises(StartFailed, match=r"(exit code 255|read what to do); may this user execute") as caught:
        until(stage.run(child_bodies.ending_without_a_word), lambda: False)
    assert caught.value.surroundings


def test_a_process_that_ends_before_it_is_told_what_to_do_is_no_bug(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(_: ChildSpec) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("livemef.tools.run.supervisor.start", breaking)
    with pytest.raises(StartFailed, match=r"^a: ended before it read what to do; may this user execute") as caught:
        stage.run(child_bodies.ending_without_a_word)
    assert caught.value.surroundings
