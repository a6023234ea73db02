"""The message format of imagezmq in PUB/SUB mode, for programs that receive with `imagezmq.ImageHub(REQ_REP=False)`.

Two parts: JSON `{"msg", "dtype", "shape"}` and raw pixels, or `{"msg"}` and a JPEG. imagezmq ignores other keys, so the
header of docs/wire.md is sent as well, under "livemef". There are no topics: only the fused picture is sent.
"""

from __future__ import annotations

import json
from typing import Any

from livemef.fusion.stream.header import Header


def described(header: Header, header_json: bytes) -> bytes:
    """The first part of a message, from a filled header and its JSON."""
    description: dict[str, Any] = {"msg": header.frame_id, "livemef": json.loads(header_json)}
    if header.codec == "raw":
        description["dtype"] = "uint8" if header.encoding == "bgr8" else "uint16"
        description["shape"] = [header.height, header.width, 3]
    return json.dumps(description).encode()
