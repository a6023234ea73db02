"""Which exposure each frame of footage has, from the brightness of the frames: where the cycle begins, and where a
frame is missing or doubled.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from livemef.capture.bracketing.labelling_brightness import brightness_level

COMPARED_CYCLES = 4
CONVINCING_CYCLES = 3
"""Whole cycles that must agree before the first frames are taken for none."""
TELLING_GAP = 0.15
"""Difference of two brightness levels from which one frame is taken for brighter than another."""
CERTAIN_GAP = 0.4
"""Difference of levels from which a single frame shows that the cycle has slipped."""
NEAR = 0.3
"""Largest deviation of a frame from the exposure that it is taken for, as a share of the gap to the next one."""


def order_of(levels: Sequence[float], exposures: int) -> tuple[tuple[int, ...], int] | None:
    """Place in the bracket (0 = darkest) of each frame of a cycle, from the brightness levels of the first frames, and
    the first frame that it holds from.

    None where they do not alternate between that many different levels. A frame that is missing or doubled among them
    is passed over, if enough cycles after it agree.
    """
    found = _order(levels[: COMPARED_CYCLES * exposures], exposures)
    if found is not None:
        return found, 0
    for start in range(1, len(levels) - CONVINCING_CYCLES * exposures + 1):
        found = _order(levels[start : start + COMPARED_CYCLES * exposures], exposures)
        if found is not None:
            return tuple(found[(place - start) % exposures] for place in range(exposures)), start
    return None


def _order(levels: Sequence[float], exposures: int) -> tuple[int, ...] | None:
    cycles = [levels[at : at + exposures] for at in range(0, len(levels) - exposures + 1, exposures)]
    if not cycles or any(_smallest_gap(cycle) <= 0.0 for cycle in cycles):
        return None
    means = [sum(column) / len(cycles) for column in zip(*cycles, strict=True)]
    order = _ranks(means)
    alike = _smallest_gap(means) < 0.25 * TELLING_GAP
    return None if alike or any(_ranks(cycle) != order for cycle in cycles) else order


def _smallest_gap(levels: Sequence[float]) -> float:
    return min(high - low for low, high in itertools.pairwise(sorted(levels)))


def _ranks(levels: Sequence[float]) -> tuple[int, ...]:
    return tuple(sorted(levels).index(level) for level in levels)


class AlternationPhase:
    """The exposure of each frame of footage, where cameras and converters lose and double frames.

    Frames are taken for the next of the cycle until one shows clearly another exposure's brightness, or a whole cycle
    contradicts the order; the cycle goes on from there. `slips`: numbers of the frames where it did. Footage whose
    first cycle contradicts the order, or whose exposures look alike, is taken as it is stated.
    """

    def __init__(self, order: Sequence[int], first_levels: Sequence[float], start: int = 0) -> None:
        """order: place in the bracket of each frame of a cycle. first_levels: brightness levels of the first frames,
        which follow the order from frame `start` on.
        """
        self._order = tuple(order)
        end = start + COMPARED_CYCLES * len(self._order)
        self._first = _level_of_each(self._order, list(enumerate(first_levels))[start:end])
        self.slips: set[int] = set()
        self._restart()

    def _restart(self) -> None:
        self._shift = 0
        self._levels = list(self._first or ())
        self._recent: deque[tuple[int, float]] = deque(maxlen=len(self._order))
        self._last = (-1, 0)
        self._light_changed_at = -len(self._order)

    def index(self, number: int, brightness: float) -> int:
        """Place in the bracket of frame `number` of this brightness (0..1). Going back starts anew."""
        if number == self._last[0]:
            return self._last[1]
        if number < self._last[0]:
            self._restart()
        if self._first is not None:
            self._follow(number, brightness_level(brightness))
        index = self._place(number, self._shift)
        self._last = (number, index)
        return index

    def _follow(self, number: int, level: float) -> None:
        if self._recent and self._recent[-1][0] != number - 1:
            self._recent.clear()
        self._recent.append((number, level))
        if self._like(level) is None:
            self._light_changed_at = number
        shift = self._by_frame(number, level)
        if shift is not None:  # the frames before it went by another shift
            self._recent = deque([(number, level)], self._recent.maxlen)
        else:
            shift = self._by_cycle()
        if shift is not None:
            self._shift = shift
            self.slips.add(number)
        for recent, seen in self._recent if shift is not None else [(number, level)]:
            self._levels[self._place(recent, self._shift)] = seen

    def _place(self, number: int, shift: int) -> int:
        return self._order[(number + shift) % len(self._order)]

    def _like(self, level: float) -> int | None:
        """The exposure whose level this is; None if it is near none."""
        nearest = min(range(len(self._levels)), key=lambda index: abs(self._levels[index] - level))
        return nearest if abs(self._levels[nearest] - level) <= NEAR * self._gap(nearest) else None

    def _gap(self, exposure: int) -> float:
        return min(abs(self._levels[exposure] - other) for at, other in enumerate(self._levels) if at != exposure)

    def _light_is_known(self, number: int) -> bool:
        """Whether each exposure was seen since the light changed, the frame before this number being the last one."""
        return number - self._light_changed_at >= len(self._order)

    def _by_frame(self, number: int, level: float) -> int | None:
        """The shift by which this frame has the exposure that it looks like; None if there is no need, or several."""
        like = self._like(level)
        if like is None or like == self._place(number, self._shift) or not self._light_is_known(number):
            return None
        if self._gap(like) < CERTAIN_GAP:
            return None
        shifts = [shift for shift in range(len(self._order)) if self._place(number, shift) == like]
        return shifts[0] if len(shifts) == 1 else None

    def _by_cycle(self) -> int | None:
        """The shift by which the last cycle rises with its exposures, if by the present one it does not."""
        if len(self._recent) < len(self._order) or not self._contradicted(self._shift):
            return None
        if not self._light_is_known(self._recent[-1][0] + 1):
            return None
        fitting = [shift for shift in range(len(self._order)) if self._smallest_rise(shift) > TELLING_GAP]
        return fitting[0] if len(fitting) == 1 else None

    def _contradicted(self, shift: int) -> bool:
        return self._smallest_rise(shift) < -TELLING_GAP

    def _smallest_rise(self, shift: int) -> float:
        frames = [(self._place(number, shift), level) for number, level in self._recent]
        return min(high - low for i, low in frames for j, high in frames if i < j)


def _level_of_each(order: Sequence[int], frames: Sequence[tuple[int, float]]) -> tuple[float, ...] | None:
    """Median level of each exposure in the frames (number, level); None where they do not rise clearly in the order."""
    groups: list[list[float]] = [[] for _ in range(max(order) + 1)]
    for number, level in frames:
        groups[order[number % len(order)]].append(level)
    if not all(groups):
        return None
    medians = tuple(sorted(group)[len(group) // 2] for group in groups)
    rising = all(high - low > TELLING_GAP for low, high in itertools.pairwise(medians))
    return medians if rising else None
