"""Grouping of labelled frames into brackets, with a payload for each frame. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from livemef.capture.frame import Bracket, FrameRecord, LabelSource, Verdict

T = TypeVar("T")


@dataclass(frozen=True)
class Grouped(Generic[T]):
    """The result of adding one frame.

    bracket: the bracket that it completed, if any. payloads: of the bracket's frames, dark to bright. released:
    payloads that the grouper no longer holds; free them after this bracket has been used, since they may be among
    its `payloads`.
    """

    bracket: Bracket | None
    payloads: tuple[T, ...]
    released: tuple[T, ...]


class BracketGrouper(Generic[T]):
    """Groups frames, pushed in the order of their sequence, into brackets.

    The number of exposures in a bracket is each record's `bracket_size`, and may change with the epoch. mode:
    "sliding" = each frame with the newest of each other exposure; "disjoint" = each frame in one bracket only.
    max_span: largest distance in sequence numbers within a bracket, twice the number of exposures if not given. At most
    one frame of each exposure is held, all of one epoch; each payload that was pushed is in `released` exactly once.
    """

    def __init__(self, mode: Literal["sliding", "disjoint"] = "sliding", max_span: int | None = None) -> None:
        if mode not in ("sliding", "disjoint"):
            raise ValueError(f"bracket mode {mode!r} is neither sliding nor disjoint")
        self._mode = mode
        self._max_span = max_span
        self._held: dict[int, tuple[FrameRecord, T]] = {}

    def push(self, record: FrameRecord, payload: T) -> Grouped[T]:
        """Add one frame. The payload of a frame of unknown exposure is released at once."""
        size = record.bracket_size
        if record.index is None or not 0 <= record.index < size:
            return Grouped(None, (), (payload,))
        released = self._drop_outdated(record)
        if any(held.epoch > record.epoch for held, _ in self._held.values()):
            return Grouped(None, (), (*released, payload))
        replaced = self._held.get(record.index)
        if replaced is not None:
            released.append(replaced[1])
        self._held[record.index] = (record, payload)
        if len(self._held) < size:
            return Grouped(None, (), tuple(released))
        members = [self._held[index] for index in range(size)]
        if self._mode == "disjoint":
            released += self.clear()
        records = tuple(member for member, _ in members)
        payloads = tuple(carried for _, carried in members)
        return Grouped(Bracket(records, _verdict(records)), payloads, tuple(released))

    def clear(self) -> list[T]:
        """Drop all held frames, for instance when the camera was reopened; returns their payloads."""
        released = [payload for _, payload in self._held.values()]
        self._held.clear()
        return released

    def _drop_outdated(self, newest: FrameRecord) -> list[T]:
        """Drop frames that can be in no bracket with `newest` or a later frame; returns their payloads.

        They are too old, of an older plan, or from before the sequence numbers started again. (Frames of one epoch that
        disagree about its number of exposures come from a damaged recording only.)
        """
        max_span = 2 * newest.bracket_size if self._max_span is None else self._max_span

        def outdated(held: FrameRecord) -> bool:
            if held.epoch != newest.epoch:
                return held.epoch < newest.epoch
            near = 0 <= newest.sequence - held.sequence <= max_span
            return not near or held.bracket_size != newest.bracket_size

        dropped = [index for index, (held, _) in self._held.items() if outdated(held)]
        return [self._held.pop(index)[1] for index in dropped]


def _verdict(records: tuple[FrameRecord, ...]) -> Verdict:
    if any(record.label_source in (LabelSource.PREDICTED, LabelSource.NONE) for record in records):
        return Verdict.PREDICTED
    sequences = [record.sequence for record in records]
    return Verdict.GOOD if max(sequences) - min(sequences) == len(records) - 1 else Verdict.GAP
