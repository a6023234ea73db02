"""Plans of changing numbers of exposures, from a capture process of its own to the brackets that fusion takes.

The camera sees an even grey through a linear response, so a frame's mean level says how long it was exposed: the truth
comes from the pixels, whatever the labels say.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest

from livemef.capture.bracketing.plan import parse_plan
from livemef.capture.child import STOP, Command
from livemef.capture.frame import Bracket
from livemef.capture.live_plan import CHANGE
from livemef.capture.process import CaptureJob, main
from livemef.capture.transport.slot_link import Caller, meeting_point
from livemef.fusion.bracket_receiver import Delivery, Inbox

CAMERA = "sim://?scene=flat&response=linear&bits=16&size=64x48&pace=fast&drop=0.01&duplicate=0.002&readout=0us"
PLANS = (
    "1ms,16ms",
    "1ms,4ms,16ms",
    "2ms,8ms",
    "500us,2ms,8ms,24ms",
    "3ms,12ms,30ms",
    "1ms,2ms,4ms,8ms",
    "4ms,20ms",
)
BLACK, WHITE, TOLERANCE = 1024.0, 65520.0, 0.06
LIMIT_S = 60.0
FRAMES_OF_A_PLAN = 80, 200


@contextmanager
def capturing(camera: str, plan: str, mode: str = "sliding") -> Iterator[tuple[Inbox, Connection]]:
    """A running capture process, and a consumer connected to it."""
    ours, theirs = multiprocessing.Pipe()
    capture_end, fusion_end = meeting_point()
    job = CaptureJob(capture_end, camera, plan)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=main, args=(theirs, os.getpid(), job), name="livemef-capture", daemon=True)
    process.start()
    caller = Caller(fusion_end)
    inbox = None
    try:
        inbox = Inbox.connect(caller, mode, LIMIT_S)
        assert inbox is not None
        yield inbox, ours
    finally:
        ours.send(STOP)
        if inbox is not None:
            inbox.close()
        caller.close()
        process.join(10)
        process.kill()
        capture_end.close()
        fusion_end.close()


def taken(inbox: Inbox, pipe: Connection) -> Delivery:
    """The next bracket; reports of the process are read, so that its pipe never fills."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        while pipe.poll():
            pipe.recv()
        inbox.wait(pipe.fileno(), 0.5)
        delivery = inbox.take()
        if delivery is not None:
            return delivery
    raise AssertionError("no bracket came")


def exposure_us(delivery: Delivery, place: int, per_us: float) -> float:
    return float(delivery.pixels[place].mean() - BLACK) / per_us


def changed_at_random(camera: str, frames: int, mode: str, seed: int) -> tuple[Counter[int], int]:
    """Brackets of each size, and wrong labels, over so many captured frames with a new plan after FRAMES_OF_A_PLAN."""
    chooser = random.Random(seed)
    sizes: Counter[int] = Counter()
    asked = {0: PLANS[0]}
    wrong = 0
    with capturing(camera, PLANS[0], mode) as (inbox, pipe):
        first = taken(inbox, pipe)
        per_us = float(first.pixels[1].mean() - BLACK) / 16000.0
        assert 16000.0 * per_us < WHITE - BLACK  # nothing clips
        inbox.give_back(first)
        captured, due = 0, chooser.randint(*FRAMES_OF_A_PLAN)
        while captured < frames:
            delivery = taken(inbox, pipe)
            captured = delivery.counters["captured"]
            wrong += wrong_labels(delivery, asked, per_us)
            sizes[len(delivery.bracket.records)] += 1
            if captured >= due and delivery.bracket.newest.epoch == max(asked):
                plan = chooser.choice([plan for plan in PLANS if plan != asked[max(asked)]])
                asked[max(asked) + 1] = plan
                pipe.send(Command(len(asked), CHANGE, {"exposures": plan, "gain": 1.0, "mains_hz": 50}))
                due = captured + chooser.randint(*FRAMES_OF_A_PLAN)
            inbox.give_back(delivery)
    assert len(asked) >= min(frames // 500, 100)
    return sizes, wrong


def wrong_labels(delivery: Delivery, asked: dict[int, str], per_us: float) -> int:
    bracket: Bracket = delivery.bracket
    plan = parse_plan(asked[bracket.newest.epoch])
    assert len({record.epoch for record in bracket.records}) == 1
    assert [record.index for record in bracket.records] == list(range(len(plan)))
    assert {record.bracket_size for record in bracket.records} == {len(plan)}
    wrong = 0
    for place, record in enumerate(bracket.records):
        true = exposure_us(delivery, place, per_us)
        assert record.exposure is not None
        # a frame of the plan before may pass for a member that it is near to, under the exposure that it reported
        near = abs(math.log2(true / plan[place].exposure_us)) <= 0.31
        wrong += not near or abs(true - record.exposure.exposure_us) > TOLERANCE * true
    return wrong


@pytest.mark.parametrize(("metadata", "mode"), [("on", "sliding"), ("off", "sliding"), ("on", "disjoint")])
def test_no_label_is_wrong_while_the_number_of_exposures_changes(metadata: str, mode: str) -> None:
    sizes, wrong = changed_at_random(f"{CAMERA}&metadata={metadata}&delay=2", 1500, mode, seed=1)
    assert wrong == 0
    assert len(sizes) == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("metadata", ["on", "off"])
def test_no_label_is_wrong_in_a_hundred_thousand_frames_of_changing_numbers(metadata: str) -> None:
    sizes, wrong = changed_at_random(f"{CAMERA}&metadata={metadata}&delay=2", 50_000, "sliding", seed=2)
    print(dict(sizes), wrong)
    assert wrong == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_label_is_wrong_in_a_hundred_thousand_frames_of_three_exposures() -> None:
    wrong = captured = 0
    with capturing(f"{CAMERA}&metadata=off&delay=2", "1ms,4ms,16ms") as (inbox, pipe):
        first = taken(inbox, pipe)
        per_us = float(first.pixels[2].mean() - BLACK) / 16000.0
        inbox.give_back(first)
        while captured < 100_000:
            delivery = taken(inbox, pipe)
            captured = delivery.counters["captured"]
            wrong += wrong_labels(delivery, {0: "1ms,4ms,16ms"}, per_us)
            inbox.give_back(delivery)
    assert wrong == 0
