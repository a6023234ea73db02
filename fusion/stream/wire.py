"""The bytes of a message: `[topic, header JSON, payload]`, encoded and strictly decoded. docs/wire.md is the
reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from livemef.capture.frame import Mosaic, Pixels
from livemef.fusion.errors import FusionError
from livemef.fusion.stream import codecs
from livemef.fusion.stream.codecs import Codec
from livemef.fusion.stream.header import LONGEST_SIDE, VERSION, Header, MosaicLevels, Motion, SourceExposure
from livemef.fusion.stream.header_text import PublisherFields, header_json

FUSED = "fused"
MOTION = "motion"
"""Topic of the ghost mask: a small grey picture, white where the fused picture shows the reference frame alone."""

STATUS = "status"
"""Topic of the fused picture's header with an empty payload, for monitoring."""

EVENT = "event"
"""Topic of what happens to the pipeline: no picture, see `stream_event`."""

LONGEST_HEADER = 1 << 20
EXPOSURE = "exposure/"
"""What the topics of source frames begin with."""

MOSAIC = "mosaic/"
"""What the topics of raw frames begin with."""

_PICTURE = re.compile(r"fused|motion|exposure/(0|[1-9][0-9]{0,2})")
_TOPIC = re.compile(_PICTURE.pattern + r"|status|mosaic/(0|[1-9][0-9]{0,2})")
_HEADER: TypeAdapter[Header] = TypeAdapter(Header)
_VERSION: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

Part = Any
"""A message part: anything that offers bytes through the buffer protocol."""


class WireError(FusionError):
    """A message does not follow docs/wire.md. One line: which part, what is wrong."""


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message. `pixels`: BGR, height x width x 3, uint8 or uint16, maybe read-only (of a raw frame its
    values, height x width); also `image`, and what `numpy.asarray` makes of the message.

    Set by the subscriber: received_wall_ns, Unix time of receipt (ns), 0 = not set; missed, pictures of this topic
    missing just before it (those before a publisher's restart are not known, and not counted).
    """

    topic: str
    header: Header
    pixels: Pixels
    received_wall_ns: int = 0
    missed: int = 0

    @property
    def image(self) -> Pixels:
        """The picture: `pixels`."""
        return self.pixels

    @property
    def stamp(self) -> float:
        """Unix time (s) of the newest frame that the picture was made from."""
        return self.header.timestamp_wall_ns / 1e9

    @property
    def exposures(self) -> tuple[SourceExposure | None, ...]:
        """Of the frames it was made from, dark to bright: as measured, else as asked for, None = unknown."""
        return tuple(source.measured or source.requested for source in self.header.sources)

    @property
    def motion(self) -> Motion | None:
        """What was done about motion; None = nothing."""
        return self.header.motion

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The picture, for numpy; a view unless another dtype or a copy is asked for."""
        if dtype is not None and np.dtype(dtype) != self.pixels.dtype:
            if copy is False:
                raise ValueError(f"pixels are {self.pixels.dtype}: as {np.dtype(dtype)} they must be copied")
            return self.pixels.astype(dtype)
        return self.pixels.copy() if copy else self.pixels

    @property
    def mosaic(self) -> Mosaic | None:
        """The raw frame of a message of topic `mosaic/N`, else None."""
        levels = self.header.mosaic
        if levels is None or self.header.encoding not in codecs.MOSAICS:
            return None
        order = codecs.MOSAICS[self.header.encoding][0]
        return Mosaic(self.pixels, order, levels.black, levels.white, levels.red_gain, levels.blue_gain)


def exposure_topic(index: int) -> str:
    """The topic of source frame `index`, 0 = darkest."""
    return f"{EXPOSURE}{index}"


def mosaic_topic(index: int) -> str:
    """The topic of the raw frame of exposure `index`, 0 = darkest."""
    return f"{MOSAIC}{index}"


def picture_topic(name: str) -> str:
    """The name, if a topic of pictures is called so. Raises FusionError."""
    if _PICTURE.fullmatch(name) is None:
        raise FusionError(f"{name}: no topic of pictures; there are fused, exposure/0 (the darkest) ..., motion")
    return name


def encode(topic: str, header: Header, pixels: Pixels) -> list[Part]:
    """The three parts of a message. `width`, `height`, `encoding` and `step` are taken from `pixels`, the
    codec from `header`.

    pixels: BGR, height x width x 3, uint8 or uint16. A raw payload is a view of `pixels` where these are
    contiguous. Raises FusionError for pixels that cannot be sent, ValueError for a header that breaks its own
    limits.
    """
    fields = fields_of(pixels, header.codec, header.stream, header.published_wall_ns)
    return [topic.encode(), header_json(header, fields), payload_of(fields, pixels)]


def fields_of(pixels: Pixels, codec: Codec, stream: str, published_wall_ns: int) -> PublisherFields:
    """The fields that the publisher of these pixels sets. Raises FusionError for pixels that cannot be sent."""
    encoding = codecs.encoding_of(pixels)
    height, width = pixels.shape[:2]
    if max(width, height) > LONGEST_SIDE:
        raise FusionError(f"a picture of {width}x{height} cannot be sent: the longest side is {LONGEST_SIDE}")
    step = width * 3 * codecs.ENCODINGS[encoding].itemsize
    return PublisherFields(width, height, encoding, step, codec, stream, published_wall_ns)


def encode_mosaic(topic: str, header: Header, mosaic: Mosaic) -> list[Part]:
    """The three parts of a message with a raw frame; as `encode`."""
    fields = fields_of_mosaic(mosaic, header.stream, header.published_wall_ns)
    return [topic.encode(), header_json(header, fields), payload_of(fields, mosaic.values)]


def fields_of_mosaic(mosaic: Mosaic, stream: str, published_wall_ns: int) -> PublisherFields:
    """As `fields_of`, for a raw frame, which is never compressed. Raises FusionError for one that cannot be sent."""
    encoding = codecs.encoding_of_mosaic(mosaic)
    height, width = mosaic.values.shape
    levels = MosaicLevels(
        black=float(mosaic.black), white=float(mosaic.white), red_gain=mosaic.red_gain, blue_gain=mosaic.blue_gain
    )
    step = width * mosaic.values.dtype.itemsize
    return PublisherFields(width, height, encoding, step, "raw", stream, published_wall_ns, levels)


def payload_of(fields: PublisherFields, pixels: Pixels) -> Part:
    """The payload of `pixels`, or of a raw frame's values, in the form that these fields name.

    Raises FusionError if the codec fails.
    """
    if fields.encoding in codecs.MOSAICS:
        return pixels.astype(codecs.MOSAICS[fields.encoding][1], order="C", copy=False).data.cast("B")
    if fields.codec != "raw":
        return codecs.compress(pixels, fields.codec).data
    return pixels.astype(codecs.ENCODINGS[fields.encoding], order="C", copy=False).data.cast("B")


def decode(parts: Sequence[Part], most_pixels: int = codecs.LARGEST_PICTURE) -> Message:
    """Decode the parts of a message. Raises WireError, and nothing else, for whatever does not follow docs/wire.md.

    most_pixels: limit of width x height; a larger picture is refused before any of it is decoded.
    A raw picture is a view of its part (no copy), read-only where the part is.
    """
    topic, header = peek(parts)
    if topic == STATUS:
        raise WireError("message of topic 'status' carries no picture; read its header with peek")
    payload = _bytes(parts[2])
    _refuse_mixed(topic, header)
    try:
        if header.encoding in codecs.MOSAICS:
            pixels = codecs.mosaic_rows(payload, header.width, header.height, header.encoding, header.step, most_pixels)
        elif header.codec == "raw":
            pixels = codecs.rows(payload, header.width, header.height, header.encoding, header.step, most_pixels)
        else:
            pixels = codecs.decompress(payload, header.width, header.height, header.encoding, header.codec, most_pixels)
    except codecs.PayloadError as error:
        raise WireError(f"message {topic} {header.seq}: {error}") from None
    return Message(topic, header, pixels)


def peek(parts: Sequence[Part]) -> tuple[str, Header]:
    """Topic and header of a message; the payload is not decoded. Raises WireError."""
    if len(parts) != 3:
        raise WireError(f"message has {len(parts)} parts, it must have 3: topic, header, payload")
    topic = bytes(_bytes(parts[0])[:64]).decode("ascii", "replace")
    if _TOPIC.fullmatch(topic) is None:
        raise WireError(f"message has unknown topic {topic!r}: fused, motion, status, exposure/N or mosaic/N")
    text = _bytes(parts[1])
    if text.nbytes > LONGEST_HEADER:
        raise WireError(f"message {topic}: header of {text.nbytes} bytes is over {LONGEST_HEADER}")
    return topic, _read_header(topic, bytes(text))


def _refuse_mixed(topic: str, header: Header) -> None:
    """Raise WireError for a raw frame under a picture's topic, a picture under a raw frame's, or levels that lack."""
    if topic.startswith(MOSAIC) != (header.encoding in codecs.MOSAICS):
        raise WireError(f"message {topic}: has encoding {header.encoding}, which its topic does not carry")
    if topic.startswith(MOSAIC) and (header.mosaic is None or header.codec != "raw"):
        raise WireError(f"message {topic}: a raw frame has codec raw and the field mosaic")
    if header.mosaic is not None and header.mosaic.black >= header.mosaic.white:
        raise WireError(f"message {topic}: its black level {header.mosaic.black:g} is not below white")


def _bytes(part: Part) -> memoryview:
    return memoryview(part).cast("B")


def _read_header(topic: str, text: bytes) -> Header:
    try:
        header = _HEADER.validate_json(text)
    except ValidationError as error:
        raise _header_error(topic, text, error) from None
    if header.version > VERSION:
        raise _newer(topic, header.version)
    return header


def _header_error(topic: str, text: bytes, error: ValidationError) -> WireError:
    """The error for a header that does not validate: that it is of a newer version, if so, else the first fault."""
    try:
        version = _VERSION.validate_json(text).get("version")
    except ValidationError:
        version = None
    if isinstance(version, int) and version > VERSION:
        return _newer(topic, version)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"]) or "JSON"
    return WireError(f"message {topic}: header {where[:80]!r}: {first['msg'][:200]}")


def _newer(topic: str, version: int) -> WireError:
    return WireError(
        f"message {topic}: wire version {str(version)[:20]}, this reader knows {VERSION}: update livemef here"
    )
