from livemef.errors import LivemefError


class EngineError(LivemefError):
    """Something in the surroundings is wrong: a model, a runtime, a data set. One line: what, where, what to do."""
