"""A network over a picture of any size in bounded memory: overlapping tiles, each giving its middle."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

TILE = 3072
"""Largest kept side of a tile: with its overlap, up to 10.9 megapixels go through the network at a time."""

OVERLAP_MULTIPLES = 7
"""Overlap in units of the network's `multiple`. The shipped networks (four levels behind a pixel unshuffle by two,
multiple 16) see 102 pixels far, so with 7 x 16 the tiles give exactly what the whole picture would."""


@dataclass(frozen=True)
class Span:
    """One side of a tile: what is read, and what of it is kept; in pixels of the picture, ends exclusive."""

    read: slice
    keep: slice

    @property
    def inner(self) -> slice:
        """What is kept, counted from the start of what is read."""
        return slice(self.keep.start - self.read.start, self.keep.stop - self.read.start)


def spans(size: int, multiple: int, tile: int) -> list[Span]:
    """Cut `size` pixels into about equal spans of at most `tile`, aligned to `multiple`: so the pooling grids agree."""
    count = math.ceil(size / tile)
    edges = [round(size * index / count / multiple) * multiple for index in range(count)] + [size]
    overlap = OVERLAP_MULTIPLES * multiple
    return [
        Span(slice(max(0, start - overlap), min(size, stop + overlap)), slice(start, stop))
        for start, stop in itertools.pairwise(edges)
    ]
