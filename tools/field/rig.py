"""What a session works with: a camera with fixed exposures, its correction, and a fuser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from livemef.capture.frame import Exposure
from livemef.fusion.correction import CameraCorrection
from livemef.fusion.fuser import Fuser
from livemef.tools.field.products import Origin


@dataclass(frozen=True)
class Rig:
    """endpoint: where the pipeline publishes the exposures. plan: darkest first, fixed for the session.

    problem: returns what of camera or fusion does not work at present, "" = all does.
    """

    endpoint: str
    plan: tuple[Exposure, ...]
    origin: Origin
    correction: CameraCorrection
    fuser: Fuser
    problem: Callable[[], str]
