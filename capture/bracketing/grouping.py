"""Labelled frames become brackets. Pure: carries any payload, and says when it is no longer held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from livemef.capture.frame import Bracket, FrameRecord, LabelSource, Verdict

T = TypeVar("T")


@dataclass(frozen=True)
class Grouped(Generic[T]):
    """What one frame brought about.

    bracket: the bracket that it completed, if any. payloads: of the bracket's frames, dark to bright.
    released: payloads that the grouper holds no longer; free them after this very bracket has been used, for
    they may be among its `payloads`.
    """

    bracket: Bracket | None
    payloads: tuple[T, ...]
    released: tuple[T, ...]


class BracketGrouper(Generic[T]):
    """Groups frames, pushed in the order of their sequence, into brackets.

    exposures: members of a bracket. mode: "sliding" = each frame with the newest of each other exposure;
    "disjoint" = each frame in one bracket only. max_span: largest distance in sequence numbers within a
    bracket, 2 * exposures if not given. At most one frame of each exposure is held; each payload that was
    pushed comes back in `released` exactly once.
    """

    def __init__(
        self, exposures: int, mode: Literal["sliding", "disjoint"] = "sliding", max_span: int | None = None
    ) -> None:
        if mode not in ("sliding", "disjoint"):
            raise ValueError(f"bracket mode {mode!r} is neither sliding nor disjoint")
        self._exposures = exposures
        self._mode = mode
        self._max_span = 2 * exposures if max_span is None else max_span
        self._held: dict[int, tuple[FrameRecord, T]] = {}

    def push(self, record: FrameRecord, payload: T) -> Grouped[T]:
        """Take one frame. A frame of unknown exposure is let go at once."""
        if record.index is None or not 0 <= record.index < self._exposures:
            return Grouped(None, (), (payload,))
        released = self._let_go_outdated(record)
        if any(held.epoch > record.epoch for held, _ in self._held.values()):
            return Grouped(None, (), (*released, payload))
        replaced = self._held.get(record.index)
        if replaced is not None:
            released.append(replaced[1])
        self._held[record.index] = (record, payload)
        if len(self._held) < self._exposures:
            return Grouped(None, (), tuple(released))
        members = [self._held[index] for index in range(self._exposures)]
        if self._mode == "disjoint":
            released += self.clear()
        records = tuple(member for member, _ in members)
        payloads = tuple(carried for _, carried in members)
        return Grouped(Bracket(records, _verdict(records)), payloads, tuple(released))

    def clear(self) -> list[T]:
        """Let go of all frames held, for instance when the camera was reopened; returns their payloads."""
        released = [payload for _, payload in self._held.values()]
        self._held.clear()
        return released

    def _let_go_outdated(self, newest: FrameRecord) -> list[T]:
        """Frames that no bracket with `newest` or a later frame can hold: too old, of an older plan, or
        numbered afresh."""
        outdated = [
            index
            for index, (held, _) in self._held.items()
            if held.epoch < newest.epoch
            or (held.epoch == newest.epoch and not 0 <= newest.sequence - held.sequence <= self._max_span)
        ]
        return [self._held.pop(index)[1] for index in outdated]


def _verdict(records: tuple[FrameRecord, ...]) -> Verdict:
    if any(record.label_source in (LabelSource.PREDICTED, LabelSource.NONE) for record in records):
        return Verdict.PREDICTED
    sequences = [record.sequence for record in records]
    return Verdict.GOOD if max(sequences) - min(sequences) == len(records) - 1 else Verdict.GAP
