"""A part of a picture, 1:1, for the page's loupe. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livemef.capture.frame import Pixels
from livemef.fusion.stream.codecs import compress
from livemef.tools.config.live_keys import Wrong
from livemef.tools.run.outcome import Outcome, problem

LARGEST_SIDE = 1024
TOPIC = re.compile(r"fused|motion|exposure/[0-9]{1,2}")
NUMBERS = {"x": (0, 0, 65535), "y": (0, 0, 65535), "w": (256, 1, LARGEST_SIDE), "h": (256, 1, LARGEST_SIDE)}
"""Default, lowest and highest value of a query's numbers, in pixels."""
QUERY: dict[str, dict[str, object]] = {
    "topic": {"type": "string", "pattern": f"^({TOPIC.pattern})$", "default": "fused"},
    **{
        name: {"type": "integer", "minimum": lowest, "maximum": highest, "default": default}
        for name, (default, lowest, highest) in NUMBERS.items()
    },
    "stream": {"type": "string"},
    "seq": {"type": "integer"},
}
"""JSON schemas of a query's values. stream and seq: of a fused picture that some browser shows."""


@dataclass(frozen=True)
class Box:
    """A part of the pictures of a topic: its left upper corner and its size in pixels."""

    topic: str
    x: int
    y: int
    width: int
    height: int


def crop_box(query: Mapping[str, str]) -> Box | Outcome:
    """What a query asks for, or what is wrong with it."""
    topic = query.get("topic", "fused")
    wrong = [] if TOPIC.fullmatch(topic) else [Wrong("topic", "is no topic", "fused, motion, exposure/0 ...")]
    numbers = {}
    for name, (default, lowest, highest) in NUMBERS.items():
        text = query.get(name, str(default))
        if text.isascii() and text.isdecimal() and len(text) <= 5 and lowest <= int(text) <= highest:
            numbers[name] = int(text)
        else:
            wrong.append(Wrong(name, "is no whole number in its range", f"{lowest}..{highest}"))
    if wrong:
        return problem(422, "; ".join(f"{one.key} {one.message}" for one in wrong), wrong)
    return Box(topic, numbers["x"], numbers["y"], numbers["w"], numbers["h"])


def cropped_png(pixels: Pixels, box: Box) -> NDArray[np.uint8]:
    """That part as a PNG file, moved inwards where it reaches over the edge, smaller where the picture is."""
    height, width = pixels.shape[:2]
    x, y = max(0, min(box.x, width - box.width)), max(0, min(box.y, height - box.height))
    return compress(np.ascontiguousarray(pixels[y : y + box.height, x : x + box.width]), "png")
