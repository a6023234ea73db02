class CalibrationError(Exception):
    """A measurement that cannot be made, or a profile that cannot be used. One line: what, where, what to do."""
