"""Grouping of frames into brackets: which frames, which verdict, and the release of payloads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.bracketing.grouping import BracketGrouper, Grouped
from livemef.capture.frame import FrameRecord, LabelSource, Verdict


def frame(
    sequence: int, index: int | None, epoch: int = 0, source: LabelSource = LabelSource.METADATA, size: int = 2
) -> FrameRecord:
    return FrameRecord(
        sequence, sequence, "monotonic", 0, index=index, epoch=epoch, label_source=source, bracket_size=size
    )


def push_all(grouper: BracketGrouper[int], frames: list[FrameRecord]) -> list[Grouped[int]]:
    return [grouper.push(record, record.sequence) for record in frames]


def brackets(results: list[Grouped[int]]) -> list[list[int]]:
    return [list(result.payloads) for result in results if result.bracket is not None]


def test_sliding_gives_a_bracket_with_every_frame() -> None:
    results = push_all(BracketGrouper(), [frame(s, s % 2) for s in range(6)])
    assert brackets(results) == [[0, 1], [2, 1], [2, 3], [4, 3], [4, 5]]
    assert [result.released for result in results] == [(), (), (0,), (1,), (2,), (3,)]


def test_disjoint_uses_each_frame_once() -> None:
    results = push_all(BracketGrouper("disjoint"), [frame(s, s % 2) for s in range(6)])
    assert brackets(results) == [[0, 1], [2, 3], [4, 5]]
    assert [result.released for result in results] == [(), (0, 1), (), (2, 3), (), (4, 5)]


def test_newest_frame_of_each_exposure_is_taken() -> None:
    results = push_all(BracketGrouper(), [frame(s, index, size=3) for s, index in enumerate((0, 0, 2, 1))])
    assert brackets(results) == [[1, 3, 2]]
    assert results[1].released == (0,)


def test_frames_too_far_apart_form_no_bracket() -> None:
    assert brackets(push_all(BracketGrouper(), [frame(0, 0), frame(4, 1)])) == [[0, 4]]
    results = push_all(BracketGrouper(), [frame(0, 0), frame(5, 1)])
    assert brackets(results) == []
    assert results[1].released == (0,)
    assert brackets(push_all(BracketGrouper(max_span=1), [frame(0, 0), frame(2, 1), frame(3, 0)])) == [[3, 2]]


def test_sequence_numbers_that_start_afresh_do_not_mix() -> None:
    results = push_all(BracketGrouper(), [frame(100, 0), frame(3, 1), frame(4, 0)])
    assert brackets(results) == [[4, 3]]
    assert results[1].released == (100,)


def test_epochs_do_not_mix() -> None:
    results = push_all(BracketGrouper(), [frame(0, 0), frame(1, 1, epoch=1), frame(2, 0), frame(3, 0, epoch=1)])
    assert brackets(results) == [[3, 1]]
    assert [result.released for result in results] == [(), (0,), (2,), ()]


def test_number_of_exposures_may_change_with_the_epoch() -> None:
    two = [frame(s, s % 2, 0, size=2) for s in range(4)]
    three = [frame(s, s % 3, 1, size=3) for s in range(4, 9)]
    again = [frame(s, s % 2, 2, size=2) for s in range(9, 12)]
    results = push_all(BracketGrouper(), [*two, *three, *again])
    assert brackets(results) == [[0, 1], [2, 1], [2, 3], [6, 4, 5], [6, 7, 5], [6, 7, 8], [10, 9], [10, 11]]
    assert sorted(results[4].released) == [2, 3]
    assert sorted(results[9].released) == [6, 7, 8]


@pytest.mark.parametrize("index", [None, 2, -1])
def test_frame_of_unknown_exposure_is_released(index: int | None) -> None:
    assert BracketGrouper[int]().push(frame(0, index), 7) == Grouped(None, (), (7,))


@pytest.mark.parametrize(
    ("sequences", "sources", "verdict"),
    [
        ((4, 5), (LabelSource.METADATA, LabelSource.NATIVE), Verdict.GOOD),
        ((5, 4), (LabelSource.BRIGHTNESS, LabelSource.BRIGHTNESS), Verdict.GOOD),
        ((4, 6), (LabelSource.METADATA, LabelSource.METADATA), Verdict.GAP),
        ((4, 5), (LabelSource.PREDICTED, LabelSource.METADATA), Verdict.PREDICTED),
        ((4, 7), (LabelSource.METADATA, LabelSource.PREDICTED), Verdict.PREDICTED),
        ((4, 5), (LabelSource.METADATA, LabelSource.NONE), Verdict.PREDICTED),
    ],
)
def test_verdict(sequences: tuple[int, int], sources: tuple[LabelSource, LabelSource], verdict: Verdict) -> None:
    frames = [frame(s, i, source=source) for i, (s, source) in enumerate(zip(sequences, sources, strict=True))]
    results = push_all(BracketGrouper(), sorted(frames, key=lambda record: record.sequence))
    assert results[1].bracket is not None
    assert results[1].bracket.verdict is verdict


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="neither sliding nor disjoint"):
        BracketGrouper("slidin")  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    mode=st.sampled_from(["sliding", "disjoint"]),
    sizes=st.lists(st.integers(2, 5), min_size=61, max_size=61),
    steps=st.lists(
        st.tuples(st.integers(-3, 6), st.none() | st.integers(0, 4), st.sampled_from([0, 0, 0, 0, 1])), max_size=60
    ),
)
def test_every_payload_comes_back_once_and_brackets_keep_their_promise(
    mode: str, sizes: list[int], steps: list[tuple[int, int | None, int]]
) -> None:
    """Each epoch has a number of exposures of its own."""
    grouper: BracketGrouper[int] = BracketGrouper(mode)  # type: ignore[arg-type]
    sequence, epoch, released, used = 0, 0, [], []
    most = max(sizes)
    for payload, (advance, index, new_epoch) in enumerate(steps):
        sequence, epoch = sequence + advance, epoch + new_epoch
        exposures = sizes[epoch]
        result = grouper.push(frame(sequence, index, epoch, size=sizes[epoch]), payload)
        if result.bracket is not None:
            assert not set(result.payloads) & set(released), "a bracket has only what was still held"
            assert [record.index for record in result.bracket.records] == list(range(exposures))
            assert {record.epoch for record in result.bracket.records} == {epoch}
            assert all(sequence - record.sequence <= 2 * exposures for record in result.bracket.records)
            assert payload in result.payloads
            used += result.payloads
        released += result.released
        assert len(released) >= payload + 1 - most, "at most one frame of each exposure is held"
    assert sorted([*released, *grouper.clear()]) == list(range(len(steps)))
    if mode == "disjoint":
        assert len(used) == len(set(used))
