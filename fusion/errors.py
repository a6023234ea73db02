from livemef.errors import LivemefError


class FusionError(LivemefError):
    """Something in the surroundings is wrong: a picture, an endpoint, a message. One line: what, where, what to do."""
