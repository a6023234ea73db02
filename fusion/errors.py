from livemef.errors import LivemefError


class FusionError(LivemefError):
    """A picture, endpoint or message cannot be used. The message is one line: what is wrong, where, what to do."""
