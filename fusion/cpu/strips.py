"""Strips of a picture's rows, which threads take in turn."""

from __future__ import annotations

Strip = tuple[int, int]
"""Rows top..bottom (exclusive)."""

LEAST_ROWS = 16
"""Of a strip, unless the picture has fewer: to begin one costs about what a row takes."""
PARTS = 8
"""The smallest strips are of one in so many of a thread's rows."""


def falling(rows: int, threads: int) -> list[Strip]:
    """Each strip is two thirds of a thread's part in the rows that are left (guided self-scheduling): few to begin
    with, and small at the end, so that a thread which came late, was interrupted or had more to do keeps nobody
    waiting for long.
    """
    if threads == 1:
        return [(0, rows)]
    found, top, least = [], 0, max(LEAST_ROWS, rows // (PARTS * threads))
    while top < rows:
        bottom = min(rows, top + max(least, 2 * (rows - top) // (3 * threads)))
        found.append((top, bottom))
        top = bottom
    return found
