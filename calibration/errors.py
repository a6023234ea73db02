from livemef.errors import LivemefError


class CalibrationError(LivemefError):
    """A measurement that cannot be made, or a profile that cannot be used. One line: what, where, what to do."""
