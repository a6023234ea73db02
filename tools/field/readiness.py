"""Whether an object may be taken now, and what a person should know: decided from plain facts."""

from __future__ import annotations

from dataclasses import dataclass

from livemef.tools.counted import counted


@dataclass(frozen=True)
class Facts:
    """What readiness is judged from.

    pipeline: what of camera and fusion does not work, "" = all does. automatic: what the camera adjusts by itself.
    exposure: how the exposures depart from the plan, "" = they do not. target_age_s: None = no target in this session.
    free, second_free: bytes; None = that disk is missing. object_bytes: size of the largest object. second: whether a
    second copy is wanted.
    """

    pipeline: str = ""
    automatic: tuple[str, ...] = ()
    exposure: str = ""
    wants_target: bool = True
    target_age_s: float | None = None
    objects_since_target: int = 0
    every_s: float = 0.0
    every_objects: int = 0
    free: int | None = None
    second_free: int | None = None
    second: bool = False
    second_behind: int = 0
    reserve: int = 0
    object_bytes: int = 0
    clock: str = ""
    rig: str = ""
    clipped: str = ""


def red_reasons(facts: Facts) -> tuple[str, ...]:
    """Why nothing may be taken now; empty = ready. A target may be taken while that none was is the only reason."""
    found = []
    if facts.pipeline:
        found.append(f"no pictures: {facts.pipeline}")
    if facts.free is None:
        found.append("the session's disk is gone")
    elif facts.free < needed_bytes(facts):
        free, needed = facts.free / 1e9, needed_bytes(facts) / 1e9
        found.append(f"the disk is nearly full: {free:.1f} GB free, {needed:.1f} are needed: make room")
    if facts.automatic:
        found.append(f"the camera adjusts {', '.join(facts.automatic)} by itself: switch that off")
    if facts.exposure:
        found.append(facts.exposure)
    if facts.wants_target and facts.target_age_s is None:
        found.append(NO_TARGET)
    return tuple(found)


NO_TARGET = "no target yet: put a ColorChecker in the object's place and take it as target"


def warnings(facts: Facts) -> tuple[str, ...]:
    """What a person should know, while objects can be taken all the same."""
    found = [facts.rig, facts.clipped, facts.clock]
    if facts.target_age_s is not None:
        if facts.every_s and facts.target_age_s > facts.every_s:
            found.append(f"the target is {facts.target_age_s / 3600:.1f} h old: take it again")
        elif facts.every_objects and facts.objects_since_target >= facts.every_objects:
            found.append(f"{counted(facts.objects_since_target, 'object')} since the target: take it again")
    if facts.second and facts.second_free is None:
        found.append(f"the second disk is missing; {facts.second_behind} copies wait")
    elif facts.second_free is not None and facts.second_free < needed_bytes(facts):
        found.append(f"the second disk is nearly full: {facts.second_free / 1e9:.1f} GB free")
    return tuple(text for text in found if text)


def needed_bytes(facts: Facts) -> int:
    """Space that must be free before a take: three of the largest objects, and what is to stay free."""
    return 3 * facts.object_bytes + facts.reserve


def objects_left(facts: Facts) -> int | None:
    """How many objects of the largest size so far still find room; None if no disk says."""
    free = [space for space in (facts.free, facts.second_free) if space is not None]
    if not free or not facts.object_bytes:
        return None
    return max(0, (min(free) - facts.reserve) // facts.object_bytes)
