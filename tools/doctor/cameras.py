"""Finds and tries cameras. Run as a process of its own, since camera libraries may crash or hang.

`python -m livemef.tools.doctor.cameras find SCHEME` and `... try URI` print one line of JSON; a CaptureError is
{"problem": ...}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from livemef.capture.bracketing.controller import ControlStatus
from livemef.capture.cameras.base import Camera
from livemef.capture.cameras.registry import find_cameras, open_camera
from livemef.capture.errors import CaptureError
from livemef.capture.session import CaptureSession
from livemef.capture.transport.frame_json import info_to_dict

FOLLOWS = (ControlStatus.FOLLOWING, ControlStatus.CLIPPING)
FRAME_LIMIT_S = 3.0
CONFIRMATION, CONFIRMED_SHARE = 24, 0.75
TRIAL_FRAMES = 300
TRIAL_S = 20.0
"""Time for two measurements of the delay, of 26 frames each and 120 apart, unless the camera is slow."""


def find(scheme: str) -> dict[str, Any]:
    """The cameras of a kind, by scheme, as {"cameras": [...]}. Raises CaptureError."""
    return {"cameras": [asdict(camera) for camera in find_cameras(scheme)]}


def attempt(uri: str) -> dict[str, Any]:
    """What a camera accepts, and whether its exposure alternates from frame to frame (None: not known)."""
    camera = open_camera(uri)
    try:
        return {"info": info_to_dict(camera.info), **_alternates(camera)}
    finally:
        camera.close()


def _alternates(camera: Camera) -> dict[str, Any]:
    session = CaptureSession(camera)
    if not camera.info.can_request:
        return {"alternates": True, "exposure_delay": None, "status": "its exposures alternate by themselves"}
    deadline = time.monotonic() + TRIAL_S
    camera.start()
    confirmed: list[bool] = []
    for _ in range(TRIAL_FRAMES):
        labelled = session.next_frame(FRAME_LIMIT_S) is not None
        if session.status in FOLLOWS and (labelled or confirmed):
            confirmed.append(labelled)
        if (
            session.status is ControlStatus.NOT_FOLLOWING
            or len(confirmed) >= CONFIRMATION
            or time.monotonic() > deadline
        ):
            break
    return {
        "alternates": _verdict(session.status, confirmed),
        "exposure_delay": session.delays.exposure if confirmed else None,
        "status": session.status.value,
    }


def _verdict(status: ControlStatus, confirmed: list[bool]) -> bool | None:
    """Whether the exposure alternates: most frames after the measurement must agree, as one may be chance."""
    if status is ControlStatus.NOT_FOLLOWING:
        return False
    agree = len(confirmed) >= CONFIRMATION and sum(confirmed) >= CONFIRMED_SHARE * len(confirmed)
    return True if agree else None


def main(arguments: list[str]) -> int:
    """Find or try; the answer goes to the standard output, output of libraries to the standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    what, of = arguments
    try:
        answer = {"find": find, "try": attempt}[what](of)
    except CaptureError as error:
        answer = {"problem": str(error)}
    out.write(json.dumps(answer) + "\n")
    out.flush()
    # ends without waiting for threads of a library that may hang
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
