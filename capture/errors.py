from livemef.errors import LivemefError


class CaptureError(LivemefError):
    """Something in the surroundings is wrong: a camera, a file, a setting. One line: what, where, what to do."""


class CameraStalled(CaptureError):
    """No frame arrived within the time limit."""


class EndOfStream(CaptureError):
    """A finite source (a recording, a folder) has delivered its last frame."""
