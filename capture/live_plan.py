"""Commands to a running capture process: other exposures, automatic or not. And what is reported of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livemef.capture.bracketing.plan import automatic_exposures
from livemef.capture.child import Command, Lifeline
from livemef.capture.errors import CaptureError
from livemef.capture.session import CaptureSession, plan_text, planned_exposures

CHANGE, HOLD = "change", "hold"
"""Names of the commands. CHANGE: `exposures`, `gain`, `mains_hz`, as in the settings of [capture]."""


def obey(lifeline: Lifeline, session: CaptureSession) -> None:
    """Carry out what the supervisor has asked for, and answer it."""
    for command in lifeline.commands():
        try:
            answer = _carried_out(command, session)
        except CaptureError as error:
            lifeline.answer(command, str(error))
        else:
            lifeline.beat_now(control=control_state(session))
            lifeline.answer(command, **answer)


def _carried_out(command: Command, session: CaptureSession) -> Mapping[str, Any]:
    """Values of the answer. Raises CaptureError. `restart`: only a new process can do it."""
    if not session.info.can_request:
        raise CaptureError("its exposures cannot be set: it is a recording")
    if command.name == HOLD:
        session.hold()
        return {"exposures": plan_text(session.plan)}
    exposures, gain, mains_hz = (command.values[name] for name in ("exposures", "gain", "mains_hz"))
    number = automatic_exposures(exposures) or len(planned_exposures(exposures, gain))
    if number > session.most_exposures:
        session.check(planned_exposures(exposures, gain))
        return {"restart": True}
    session.change(exposures, gain, mains_hz)
    return {}


def control_state(session: CaptureSession) -> dict[str, Any]:
    """For the supervisor: number of the plan, its exposures (us, gain) dark to bright, whether they are automatic, and
    whether their times are known.
    """
    return {
        "epoch": session.epoch,
        "plan": [(one.exposure_us, one.gain) for one in session.plan],
        "auto": session.automatic,
        "known": not session.info.nominal_plan,
    }


def described(session: CaptureSession) -> dict[str, Any]:
    """The open camera, for the supervisor. Times in us."""
    info, limits = session.info, session.info.limits
    return {
        "name": info.name,
        "size": f"{info.width}x{info.height}",
        "fps": info.fps,
        "can_request": info.can_request,
        "limits": {
            "exposure_us": (limits.exposure_min_us, limits.exposure_max_us),
            "exposure_step_us": limits.exposure_step_us,
            "gain": (limits.gain_min, limits.gain_max),
        },
    }
