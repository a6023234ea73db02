"""HEIC and AVIF (ISO 23008-12, in the boxes of ISO 14496-12): what they say of their main picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MOST_BOXES = 10_000


def main_properties(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The properties (kind, body) of the main item, in order; () where they cannot be found. Never raises."""
    try:
        boxes = dict(_boxes(_body(data, b"meta")[4:]))
        main = _number(boxes[b"pitm"], 4, 2 if boxes[b"pitm"][0] == 0 else 4)
        properties = list(_boxes(_body(boxes[b"iprp"], b"ipco")))
        return tuple(properties[index - 1] for index in _associated(_body(boxes[b"iprp"], b"ipma"), main) if index)
    except (KeyError, IndexError, ValueError, struct.error):
        return ()


def code_points(properties: tuple[tuple[bytes, bytes], ...]) -> tuple[int, int] | None:
    """Primaries and transfer function by ITU-T H.273, as the box `colr` names them; None if it does not.

    2, "unspecified", is what sRGB has: 1 and 13.
    """
    for kind, body in properties:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            return 1 if primaries == 2 else primaries, 13 if transfer == 2 else transfer
    return None


def bits_a_sample(properties: tuple[tuple[bytes, bytes], ...]) -> int:
    """The most of any channel, as the box `pixi` says; 8 if there is none."""
    return max((max(body[5:], default=8) for kind, body in properties if kind == b"pixi"), default=8)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            size, start = struct.unpack_from(">Q", data, start)[0], start + 8
        end = at + size if size else len(data)
        if end < start:
            raise ValueError("a box ends before it begins")
        yield kind, data[start:end]
        at = end


def _body(data: bytes, wanted: bytes) -> bytes:
    for kind, body in _boxes(data):
        if kind == wanted:
            return body
    raise KeyError(wanted)


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError("the box is cut short")
    return int.from_bytes(data[at : at + size], "big")


def _associated(box: bytes, item: int) -> list[int]:
    """The numbers of an item's properties, from 1, in the box `ipma`."""
    id_size = 2 if box[0] == 0 else 4
    wide = 2 if box[3] & 1 else 1
    at = 8
    for _ in range(_number(box, 4, 4)):
        found, count = _number(box, at, id_size), _number(box, at + id_size, 1)
        at += id_size + 1
        if found == item:  # the highest bit says only that a reader must know the property
            return [_number(box, at + wide * i, wide) & (0x7FFF if wide == 2 else 0x7F) for i in range(count)]
        at += wide * count
    return []
