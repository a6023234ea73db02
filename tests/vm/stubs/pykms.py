"""Stands in for pykms, which picamera2 imports for its preview windows and Debian 12 does not have.

It is also the place where picamera2 0.3.38 learns to live with Debian's libcamera 0.3.2, older than the controls
ExposureTimeMode and AnalogueGainMode (0.5): picamera2 sets them beside each exposure, and here they are left out.
"""

import libcamera


class _Names:
    """Any name will do: nothing is shown."""

    def __getattr__(self, name):
        return name


PixelFormat = _Names()


class _NewerControl:
    """A control that this libcamera does not know."""


if not hasattr(libcamera.controls, "ExposureTimeMode"):
    libcamera.controls.ExposureTimeMode = _NewerControl()
    libcamera.controls.AnalogueGainMode = _NewerControl()
    _set_control = libcamera.Request.set_control

    def _set_known_control(self, control, value):
        if not isinstance(control, _NewerControl):
            _set_control(self, control, value)

    libcamera.Request.set_control = _set_known_control
