from livemef.errors import LivemefError


class EngineError(LivemefError):
    """A model, a runtime or a data set cannot be used. The message is one line: what is wrong, where, what to do."""


class NoTensorRt(EngineError):
    """TensorRT is not installed, or does not run on this GPU."""
