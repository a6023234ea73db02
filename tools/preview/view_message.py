"""A view, and the WebSocket messages that carry it (docs/preview.md, "Routes")."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livemef.fusion.stream.header import Header
from livemef.fusion.stream.header_text import header_json
from livemef.tools.preview.feed import Received
from livemef.tools.preview.h264_track import Chunk, Position, chunks_after

JPEG, PNG, H264 = "image/jpeg", "image/png", "video/h264"
Bytes = NDArray[np.uint8]
Positions = Mapping[str, Position]
"""By topic: the last H.264 chunk that a browser has."""
_Entry = tuple[dict[str, Any], Sequence[Bytes | bytes]]


@dataclass(frozen=True)
class Video:
    """A picture as the newest of `kept`, which is as long as one can be behind. codec: its name for WebCodecs."""

    codec: str
    kept: tuple[Chunk, ...]


@dataclass(frozen=True)
class Picture:
    """A picture as the page shows it. described: what the message says of it; file: of `type`, where somebody takes
    that; video: where somebody takes that; scope: what was measured, as JSON values.
    """

    described: dict[str, Any]
    type: str
    file: Bytes | None
    video: Video | None = None
    scope: dict[str, Any] | None = None

    @property
    def topic(self) -> str:
        """Its topic, or waveform/TOPIC."""
        return str(self.described["topic"])


def described_header(header: Header) -> dict[str, Any]:
    """The header as JSON values."""
    values: dict[str, Any] = json.loads(header_json(header))
    return values


def packed(description: dict[str, Any], payloads: Sequence[Bytes | bytes]) -> bytes:
    """One message: length of the JSON (32 bits, big-endian), JSON, then the files one after the other."""
    text = json.dumps(description).encode()
    parts = (one if isinstance(one, bytes) else one.data for one in payloads)
    return b"".join([len(text).to_bytes(4, "big"), text, *parts])


class View:
    """The pictures of one moment. received: the fused one. whole: made for a page, not for who takes the fused picture
    alone. lack: why there is no H.264, "" = there is.
    """

    def __init__(
        self, received: Received, stats: dict[str, Any], pictures: list[Picture], whole: bool, lack: str
    ) -> None:
        self.received, self.pictures = received, pictures
        self._whole, self._lack = whole, lack
        self._stats = stats
        self._jpeg: bytes | None = None
        self._h264: dict[tuple[Position, ...], bytes] = {}

    @property
    def fused_jpeg(self) -> Bytes | None:
        """The fused picture's file, if somebody wanted it when this view was made."""
        return self.pictures[0].file

    def jpeg_message(self) -> bytes | None:
        """The message with files alone; None if the view was made when nobody took them."""
        if not self._whole or any(one.file is None for one in self.pictures):
            return None
        if self._jpeg is None:
            self._jpeg = self._packed([_entry(one, None) for one in self.pictures])
        return self._jpeg

    def h264_message(self, have: Positions) -> tuple[bytes, Positions] | None:
        """The message with H.264 for a browser that has `have`, and what it has then. None: it needs a key frame, or
        the view was made when nobody took H.264.
        """
        if not self._whole:
            return None
        chunks: dict[str, list[Chunk]] = {}
        for one in self.pictures:
            if one.video is not None:
                found = chunks_after(one.video.kept, have.get(one.topic))
                if found is None:
                    return None
                chunks[one.topic] = found
            elif one.file is None or (one.type == JPEG and not self._lack):
                return None
        then = {one.topic: one.video.kept[-1].position for one in self.pictures if one.video is not None}
        first = tuple(found[0].position if found else (-1, -1) for found in chunks.values())
        if first not in self._h264:  # most browsers have the same
            self._h264[first] = self._packed([_entry(one, chunks.get(one.topic)) for one in self.pictures])
        return self._h264[first], then

    def _packed(self, entries: list[_Entry]) -> bytes:
        description = {
            "kind": "view",
            "header": described_header(self.received.header),
            "stats": self._stats,
            "no_h264": self._lack,
            "pictures": [described for described, _ in entries],
        }
        scopes = {one.topic: one.scope for one in self.pictures if one.scope is not None}
        if scopes:
            description["scopes"] = scopes
        return packed(description, [data for _, found in entries for data in found])


def _entry(picture: Picture, chunks: list[Chunk] | None) -> _Entry:
    """What a message has of a picture: chunks, else its file."""
    if chunks is None or picture.video is None:
        assert picture.file is not None, picture.topic
        return {**picture.described, "bytes": picture.file.nbytes, "type": picture.type}, [picture.file]
    about = [{"bytes": len(one.data), "key": one.is_key} for one in chunks]
    size = sum(len(one.data) for one in chunks)
    described = {**picture.described, "bytes": size, "type": H264, "codec": picture.video.codec, "chunks": about}
    return described, [one.data for one in chunks]
