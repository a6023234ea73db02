import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.tools.run.restart_policy import RestartPolicy
from livemef.tools.run.supervisor import ChildSpec, StartFailed, Supervisor
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


def until(supervisor: Supervisor, condition: Callable[[], bool], limit_s: float = 20.0) -> None:
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
        from livemef.tools.run.supervisor import ChildSpec, Supervisor
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
    parent.wait(10)
    deadline = time.monotonic() + 5
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
