import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.bracketing.controller import BracketingController, Delays
from livemef.capture.bracketing.frame_numbers import FrameNumbers
from livemef.capture.bracketing.grouping import BracketGrouper
from livemef.capture.frame import FrameRecord
from tests.capture.bracketing.model_sensor import LIMITS, PLANS, Faults, ModelSensor

PERIOD_US = 33_333.333


def record(sequence: int, frame: float) -> FrameRecord:
    stamp = int(frame * PERIOD_US * 1000)
    return FrameRecord(sequence=sequence, timestamp_ns=stamp, clock="monotonic", received_ns=stamp)


def numbers(pairs: list[tuple[int, float]], period_us: float = PERIOD_US) -> list[int | None]:
    ours = FrameNumbers(period_us)
    found = [ours.corrected(record(*pair)) for pair in pairs]
    return [None if one is None else one.sequence for one in found]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60), st.sampled_from([PERIOD_US, math.inf]))
def test_sound_numbers_stay_as_they_are(steps: list[int], period_us: float) -> None:
    sequence, pairs = 7, [(7, 0.0)]
    for step in [1, *steps]:
        sequence += step
        pairs.append((sequence, float(sequence - 7)))
    if len(set(steps[-40:])) > 1 or len(steps) < 40 or period_us == PERIOD_US:
        assert numbers(pairs, period_us) == [number for number, _ in pairs]


def test_a_number_that_never_changes_is_replaced_by_a_count() -> None:
    assert numbers([(0, 0), (0, 1), (0, 2), (0, 5), (0, 6)]) == [0, 1, 2, 5, 6]
    assert numbers([(0, 0), (0, 1), (0, 2)], math.inf) == [0, 1, 2]


def test_the_same_frame_again_is_a_duplicate() -> None:
    assert numbers([(3, 0), (3, 0), (4, 1), (3, 0), (4, 1), (5, 2)]) == [3, None, 4, None, None, 5]
    assert numbers([(0, 0), (0, 0), (0, 1)]) == [0, None, 1]


def test_counting_by_two_is_found_out() -> None:
    found = numbers([(2 * frame, frame) for frame in range(20)])
    assert [after - before for before, after in pairwise(found)][4:] == [1] * 15
    lost = numbers([(2 * frame, frame) for frame in (*range(20), 25, 26)])
    assert lost[-2] - lost[-3] == 6


def test_every_second_frame_lost_is_not_counting_by_two() -> None:
    assert numbers([(2 * frame, 2 * frame) for frame in range(60)]) == [2 * frame for frame in range(60)]


def test_numbers_that_start_afresh_are_passed_on() -> None:
    assert numbers([(90, 0), (91, 1), (0, 2), (1, 3)]) == [90, 91, 0, 1]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("period_us", [PERIOD_US, math.inf])
def test_a_counter_that_was_full_goes_on(bits: int, period_us: float) -> None:
    top = 1 << bits
    frames = [*range(top - 4, top), top, top + 1, top + 4, top + 5, *range(2 * top - 2, 2 * top + 3)]
    found = numbers([(frame % top, float(frame)) for frame in frames[:8]], period_us)
    assert found == frames[:8]
    longer = numbers([(frame % top, float(frame)) for frame in range(top - 4, 3 * top + 4)] if bits == 8 else [(0, 0)])
    assert longer == (list(range(top - 4, 3 * top + 4)) if bits == 8 else [0])


NUMBERS = {
    "always 0": lambda number: 0,
    "by two": lambda number: 2 * number,
    "by four": lambda number: 4 * number,
    "8 bits": lambda number: number % 256,
    "pairs": lambda number: number // 2,
    "skips every third": lambda number: number + number // 3,
    "milliseconds": lambda number: round(number * PERIOD_US / 1000),
    "random": lambda number: random.Random(number).randrange(1 << 30),
    "backwards": lambda number: (1 << 20) - number,
}
"""What a driver gives as the number of a frame."""


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("way", sorted(NUMBERS))
def test_brackets_form_whatever_the_driver_counts(reports: bool, way: str) -> None:
    plan = PLANS["pair"]
    sensor = ModelSensor(5, Delays(2, 2), reports, Faults(drop=0.02))
    controller = BracketingController(plan, LIMITS, Delays(2, 2), reports, PERIOD_US)
    grouper: BracketGrouper[int] = BracketGrouper()
    brackets, wrong = 0, 0
    for _ in range(600):
        true, level = sensor.read()
        seen = replace(true, sequence=NUMBERS[way](true.sequence))
        decision = controller.on_frame(seen, None if reports else level)
        if decision.request is not None:
            sensor.request(decision.request)
        if decision.keep:
            wrong += sensor.truth[true.sequence] != plan[decision.record.index or 0]
            brackets += grouper.push(decision.record, true.sequence).bracket is not None
    assert controller.counters.duplicates == 0
    assert brackets > 250
    assert wrong == 0
