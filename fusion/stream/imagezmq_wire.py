"""The message format of imagezmq in PUB/SUB mode, for programs that receive with `imagezmq.ImageHub(REQ_REP=False)`.

Two parts: JSON `{"msg", "dtype", "shape"}` and raw pixels, or `{"msg"}` and a JPEG. imagezmq ignores other keys, so the
header of docs/wire.md is sent as well, under "livemef". There are no topics: only the fused picture is sent.
"""

from __future__ import annotations

import json
from typing import Any

from livemef.fusion.stream.header_text import PublisherFields


def described(frame_id: str, fields: PublisherFields, header_json: bytes) -> bytes:
    """The first part of a message, from the header's JSON."""
    description: dict[str, Any] = {"msg": frame_id, "livemef": json.loads(header_json)}
    if fields.codec == "raw":
        description["dtype"] = "uint8" if fields.encoding == "bgr8" else "uint16"
        description["shape"] = [fields.height, fields.width, 3]
    return json.dumps(description).encode()
