"""What goes over the pipes beside signs of life: commands, answers, requests, restarts that were asked for."""

import contextlib
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from livemef.capture.child import Command, Report
from livemef.tools.run.restart_policy import RestartPolicy
from livemef.tools.run.spawning import ChildSpec
from livemef.tools.run.supervisor import Supervisor
from tests.tools.run import child_bodies


class Notes:
    def __init__(self) -> None:
        self.reports: list[tuple[str, Report]] = []
        self.ended: list[str] = []

    def on_report(self, name: str, report: Report) -> None:
        self.reports.append((name, report))

    def on_end(self, name: str) -> None:
        self.ended.append(name)


@contextlib.contextmanager
def supervised(target: Callable[[Connection, int], None]) -> Iterator[tuple[Supervisor, Notes]]:
    supervisor, notes = Supervisor([ChildSpec("a", target, tuple)], RestartPolicy()), Notes()
    supervisor.listener = notes
    supervisor.start()
    try:
        yield supervisor, notes
    finally:
        supervisor.stop()


def until(supervisor: Supervisor, condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        supervisor.step(0.05)


def test_commands_are_answered_in_order_and_end_nothing() -> None:
    with supervised(child_bodies.obeying) as (supervisor, notes):
        until(supervisor, lambda: supervisor.children["a"].ready)
        for number, value in ((1, 5), (0, 6), (2, -1)):
            assert supervisor.tell("a", Command(number, "set", {"value": value}))
        until(supervisor, lambda: len(notes.reports) == 2)
        answers = [report.values for _, report in notes.reports]
        assert answers == [
            {"number": 1, "refused": "", "name": "set"},
            {"number": 2, "refused": "must be above 0", "name": "set"},
        ]
        assert supervisor.children["a"].restarts == 0
        assert "number" not in supervisor.children["a"].values


def test_a_child_may_ask() -> None:
    with supervised(child_bodies.asking) as (supervisor, notes):
        until(supervisor, lambda: bool(notes.reports))
        assert notes.reports[0][1].values == {"do": "hello"}


def test_a_restart_that_was_asked_for_is_no_failure_and_keeps_the_counters() -> None:
    with supervised(child_bodies.counting) as (supervisor, notes):
        child = supervisor.children["a"]
        until(supervisor, lambda: child.count("count") > 5)
        before, process = child.count("count"), child.process
        assert supervisor.restart("a")
        until(supervisor, lambda: child.process is not process and child.ready and child.count("count") > before)
        assert (child.restarts, child.failures, notes.ended) == (1, 0, ["a"])


def test_a_restart_does_not_wait_for_a_child_that_hangs() -> None:
    with supervised(child_bodies.hanging) as (supervisor, _):
        child = supervisor.children["a"]
        until(supervisor, lambda: child.ready)
        process = child.process
        supervisor.restart("a")
        until(supervisor, lambda: child.process not in (process, None) and child.ready, 5.0)
        assert child.failures == 0


def test_a_task_ends_by_itself_and_its_result_can_be_read_then() -> None:
    with supervised(child_bodies.counting) as (supervisor, notes):
        until(supervisor, lambda: supervisor.children["a"].ready)
        found: list[int] = []
        notes.on_end = lambda name: found.append(supervisor.tasks[name].values["count"])  # type: ignore[method-assign]
        supervisor.run_task(ChildSpec("b", child_bodies.finishing, tuple))
        until(supervisor, lambda: not supervisor.tasks)
        assert found == [7]
        supervisor.step(0.05)
        assert "b" not in supervisor.children


def test_nothing_is_said_to_who_is_not_there() -> None:
    supervisor = Supervisor([ChildSpec("a", child_bodies.counting, tuple)], RestartPolicy())
    assert not supervisor.tell("a", "stop")
    assert not supervisor.tell("nobody", "stop")
