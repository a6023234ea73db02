"""Small real processes for the supervisor's tests (importable, since processes are spawned)."""

import logging
import time
from multiprocessing.connection import Connection

from livemef.capture.child import Lifeline, run_child


def _count_until_stopped(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready(colour="blue")
    count = 0
    while not lifeline.stopping:
        count += 1
        lifeline.beat(count=count)
        time.sleep(0.01)
    return {"count": count}


def counting(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _count_until_stopped)


def _raise_value_error(lifeline: Lifeline) -> dict[str, int]:
    raise ValueError("no such camera")


def failing(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _raise_value_error)


def crashing(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (KeyError,), _raise_value_error)


def _hang(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready()
    time.sleep(60)
    return {}


def hanging(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _hang)


def _finish(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready()
    return {"count": 7}


def finishing(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _finish)


def _log(lifeline: Lifeline) -> dict[str, int]:
    logging.getLogger("livemef.tests").info("half%s", "way")
    return {}


def logging_one_line(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _log)
