"""Small real processes for the supervisor's tests (importable, since processes are spawned)."""

import logging
import os
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


def _count_then_wait_for_the_camera(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready()
    lifeline.beat(captured=20, state="following")
    while not lifeline.stopping:
        lifeline.beat(state="waiting for the camera")
        time.sleep(0.01)
    return {}


def stalling(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _count_then_wait_for_the_camera)


def _count_then_fail(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready()
    lifeline.beat(captured=1)
    lifeline.beat(captured=94)  # too soon after the first to be sent by itself
    raise ValueError("no frame")


def counting_then_failing(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _count_then_fail)


def _open_for_ever(lifeline: Lifeline) -> dict[str, int]:
    with lifeline.opening("opening the camera", limit_s=0.5):
        time.sleep(60)
    return {}


def opening_for_ever(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _open_for_ever)


def _chatter(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready()
    count = 0
    while not lifeline.stopping:
        count += 1
        os.write(1, b"a library prints\n" * 64)
        os.write(2, b"\xff and complains\n" * 64)
        lifeline.beat(count=count)
        time.sleep(0.001)
    return {"count": count}


def chattering(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _chatter)


def _lack_files(lifeline: Lifeline) -> dict[str, int]:
    raise OSError(24, "Too many open files")


def lacking_files(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _lack_files)


def _obey(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready()
    while not lifeline.stopping:
        for command in lifeline.commands():
            refused = "" if command.values["value"] > 0 else "must be above 0"
            lifeline.answer(command, refused, name=command.name)
        lifeline.beat(turns=1)
        time.sleep(0.01)
    return {}


def obeying(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _obey)


def _ask(lifeline: Lifeline) -> dict[str, int]:
    lifeline.ready()
    lifeline.ask(do="hello")
    while not lifeline.stopping:
        time.sleep(0.01)
    return {}


def asking(pipe: Connection, parent: int) -> None:
    run_child(pipe, parent, (ValueError,), _ask)


def ending_without_a_word(*arguments: object) -> None:
    """As a library ends the process that it lacks memory for."""
    os._exit(1)
