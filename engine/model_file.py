"""Reads an ONNX file for a runtime, and refuses one that is too large or keeps weights in other files."""

from __future__ import annotations

from pathlib import Path

from livemef.engine.errors import EngineError
from livemef.engine.external_data import has_external_data
from livemef.engine.protobuf import NotProtobuf

LARGEST_MODEL = 1 << 28
"""Bytes; the shipped networks have less than a thousandth of it."""


def read_model(path: Path) -> bytes:
    """The bytes of the ONNX file at `path`. Raises EngineError."""
    try:
        if not path.is_file():
            raise EngineError(f"model {path}: not a file")
        if path.stat().st_size > LARGEST_MODEL:
            raise EngineError(f"model {path}: larger than {LARGEST_MODEL >> 20} MiB; is this the right file?")
        data = path.read_bytes()
    except OSError as error:
        raise EngineError(f"model {path}: cannot be read ({error.strerror})") from error
    try:
        external = has_external_data(data)
    except NotProtobuf as error:
        raise EngineError(f"model {path}: not an ONNX model ({error}); fetch it again") from error
    if external:
        raise EngineError(
            f"model {path}: keeps weights in other files; save it as one file "
            "(onnx.save without save_as_external_data), so that its sha256 covers all of it"
        )
    return data
