"""livemef: any camera that can change its exposure becomes a live HDR camera.

A pipeline of one's own:

    import livemef

    with (
        livemef.open_camera("sim://") as camera,
        livemef.open_fuser() as fuser,
        livemef.BracketPublisher("tcp://127.0.0.1:5556") as publisher,
    ):
        for bracket in camera.brackets():
            fused = fuser.fuse(bracket)
            publisher.publish(bracket, fused, fuser)

Pictures are numpy arrays: BGR, height x width x 3, uint8 or uint16, sRGB-encoded. What livemef hands out of a camera,
a recording or a stream is read-only; `.copy()` it to change it. What can go wrong outside of the program raises a
`LivemefError` whose text is one line: what, where, what to do.

The names below are stable. Importing livemef is quick: OpenCV, ONNX Runtime and ZeroMQ are imported when a name that
needs them is first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from livemef.errors import LivemefError

if TYPE_CHECKING:
    from livemef._camera import open_camera
    from livemef.calibration.errors import CalibrationError
    from livemef.capture.bracket_camera import BracketCamera
    from livemef.capture.cameras.base import Camera, CameraInfo, CameraLimits
    from livemef.capture.errors import CameraStalled, CaptureError, EndOfStream
    from livemef.capture.files.bracket_recording import BracketRecorder, read_recording
    from livemef.capture.files.image_io import read_picture, write_picture
    from livemef.capture.frame import CapturedBracket, Exposure, Frame, FrameRecord
    from livemef.engine.errors import EngineError
    from livemef.fusion.bracket_fuser import BracketFuser, fuse
    from livemef.fusion.bracket_fuser import open_bracket_fuser as open_fuser
    from livemef.fusion.bracket_publisher import BracketPublisher
    from livemef.fusion.errors import FusionError
    from livemef.fusion.fuser import Fused
    from livemef.fusion.settings import FusionSettings
    from livemef.fusion.stream.control import Control, ControlEvent, control
    from livemef.fusion.stream.control_doors import ControlError
    from livemef.fusion.stream.stream_event import StreamEvent
    from livemef.fusion.stream.subscriber import ReceiveTimeout
    from livemef.fusion.stream.subscription import Subscription, subscribe
    from livemef.fusion.stream.wire import Message

    __version__: str

__all__ = [
    "BracketCamera",
    "BracketFuser",
    "BracketPublisher",
    "BracketRecorder",
    "CalibrationError",
    "Camera",
    "CameraInfo",
    "CameraLimits",
    "CameraStalled",
    "CaptureError",
    "CapturedBracket",
    "Control",
    "ControlError",
    "ControlEvent",
    "EndOfStream",
    "EngineError",
    "Exposure",
    "Frame",
    "FrameRecord",
    "Fused",
    "FusionError",
    "FusionSettings",
    "LivemefError",
    "Message",
    "ReceiveTimeout",
    "StreamEvent",
    "Subscription",
    "control",
    "fuse",
    "open_camera",
    "open_fuser",
    "read_picture",
    "read_recording",
    "subscribe",
    "write_picture",
]

_PLACES = {
    "_camera": ("open_camera",),
    "calibration.errors": ("CalibrationError",),
    "capture.bracket_camera": ("BracketCamera",),
    "capture.cameras.base": ("Camera", "CameraInfo", "CameraLimits"),
    "capture.errors": ("CameraStalled", "CaptureError", "EndOfStream"),
    "capture.files.bracket_recording": ("BracketRecorder", "read_recording"),
    "capture.files.image_io": ("read_picture", "write_picture"),
    "capture.frame": ("CapturedBracket", "Exposure", "Frame", "FrameRecord"),
    "engine.errors": ("EngineError",),
    "fusion.bracket_fuser": ("BracketFuser", "fuse", "open_fuser"),
    "fusion.bracket_publisher": ("BracketPublisher",),
    "fusion.errors": ("FusionError",),
    "fusion.fuser": ("Fused",),
    "fusion.settings": ("FusionSettings",),
    "fusion.stream.control": ("Control", "ControlEvent", "control"),
    "fusion.stream.control_doors": ("ControlError",),
    "fusion.stream.stream_event": ("StreamEvent",),
    "fusion.stream.subscriber": ("ReceiveTimeout",),
    "fusion.stream.subscription": ("Subscription", "subscribe"),
    "fusion.stream.wire": ("Message",),
}
_MODULES = {name: f"livemef.{place}" for place, names in _PLACES.items() for name in names}
_OTHER_NAMES = {"open_fuser": "open_bracket_fuser"}

logging.getLogger("livemef").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("livemef")
    if name not in _MODULES:
        raise AttributeError(f"module 'livemef' has no attribute '{name}'")
    value = getattr(importlib.import_module(_MODULES[name]), _OTHER_NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
