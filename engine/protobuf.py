"""Reads protobuf messages field by field (https://protobuf.dev/programming-guides/encoding), without a schema."""

from __future__ import annotations

from collections.abc import Iterator

_BYTES, _VARINT = 2, 0
_FIXED = {1: 8, 5: 4}


class NotProtobuf(ValueError):
    """The bytes are no protobuf message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field number and value of each field: an int for a varint, the bytes for the rest."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = varint(message, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, at = varint(message, at)
        elif wire_type in _FIXED:
            length = _FIXED[wire_type]
        else:
            raise NotProtobuf(f"wire type {wire_type} is not known")
        if at + length > len(message):
            raise NotProtobuf("the file is cut off")
        yield number, message[at : at + length]
        at += length


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where the next field begins."""
    value = 0
    for count, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise NotProtobuf("a number has no end")
