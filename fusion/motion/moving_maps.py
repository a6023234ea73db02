"""Maps between two exposures for what moves: learned from the cells that were masked.

A camera's colours do not follow one curve a channel: the maps of the whole picture may be wrong for the shirt that
moves, which then pulses as each exposure in turn is the reference. The mask covers both where things were and where
they are, so about the same things lie in it in both exposures, and their histograms can be matched.
"""

from __future__ import annotations

from dataclasses import dataclass

from livemef.fusion.motion.intensity_mapping import ChannelMaps, Curve

PRIOR, FORGET = 8, 1 / 96
"""How many times as many of such cells as of others the pictures must have shown (`intensity_mapping.PRIOR`), and the
part of their running histograms that each bracket takes away: things come, go and blur, so that few prove little."""
MOST_ASTRAY = 0.05
"""Encoded difference of the maps of what moves from those of all, at most: a lamp that one exposure missed would teach
that black is bright."""


@dataclass
class Moving:
    """What was learned of two exposures where things move: running histograms of the cells that were masked, and maps
    of so many frames.
    """

    dark: Curve
    bright: Curve
    maps: ChannelMaps
    learned: int
