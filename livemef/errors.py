"""The error above all of livemef's: `except livemef.LivemefError` catches whatever is not a bug of livemef's."""


class LivemefError(Exception):
    """Input, a file, a device or a setting is wrong, or something is missing. One line: what, where, what to do."""
