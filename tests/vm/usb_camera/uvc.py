"""A USB Video Class 1.1 camera as its host sees it: descriptors, controls, stream negotiation.

References: USB Device Class Definition for Video Devices 1.1, and its Uncompressed and Motion-JPEG payload documents.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

_GUID_TAIL = bytes.fromhex("00001000800000aa00389b71")
FORMATS = {1: ("YUYV", b"YUY2", 16), 2: ("NV12", b"NV12", 12), 3: ("MJPEG", b"", 16), 4: ("Y16", b"Y16 ", 16)}
"""bFormatIndex: the name that V4L2 gives it, its FourCC, bits a pixel. Motion-JPEG has a descriptor of its own."""
HEADER_BYTES = 12

STALL = None
"""What `answer` gives for a request that the device does not know."""

_GET_DESCRIPTOR, _GET_STATUS, _CLEAR_FEATURE, _GET_CONFIGURATION, _GET_INTERFACE = 6, 0, 1, 8, 10
_SET_CUR, _GET_CUR, _GET_MIN, _GET_MAX, _GET_RES, _GET_LEN, _GET_INFO, _GET_DEF = 1, *range(0x81, 0x88)
_CAMERA, _PROCESSING = 1, 2


@dataclass
class Control:
    """One control of a unit; `resolution` is the step, or for automatic exposure the set of modes."""

    size: int
    minimum: int
    maximum: int
    resolution: int
    default: int
    value: int = field(init=False)

    def __post_init__(self) -> None:
        self.value = self.default

    def answer(self, request: int) -> bytes | None:
        """The value that a GET request asks for."""
        if request == _GET_INFO:
            return b"\x03"
        if request == _GET_LEN:
            return struct.pack("<H", self.size)
        values = {
            _GET_CUR: self.value,
            _GET_MIN: self.minimum,
            _GET_MAX: self.maximum,
            _GET_RES: self.resolution,
            _GET_DEF: self.default,
        }
        return values[request].to_bytes(self.size, "little") if request in values else STALL


@dataclass(frozen=True, eq=False)
class Stream:
    """What the host has started; another start is another stream."""

    pixel_format: str


class UvcDevice:
    """Answers the host's control requests. `streaming`: the stream that is on, None while none is."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self.width, self.height = width, height
        self.interval = round(1e7 / fps)
        self.auto_exposure = Control(1, 0, 0, 0b1001, 8)
        self.exposure = Control(4, 1, 5000, 1, 156)
        self.gain = Control(2, 0, 255, 1, 0)
        self.white_balance_auto = Control(1, 0, 1, 1, 1)
        self.dynamic_frame_rate = Control(1, 0, 1, 1, 1)
        self._controls = {
            (_CAMERA, 2): self.auto_exposure,
            (_CAMERA, 3): self.dynamic_frame_rate,
            (_CAMERA, 4): self.exposure,
            (_PROCESSING, 4): self.gain,
            (_PROCESSING, 0x0A): Control(2, 2800, 6500, 1, 4600),
            (_PROCESSING, 0x0B): self.white_balance_auto,
        }
        self._committed = 1
        self._probed = 1
        self.streaming: Stream | None = None

    @property
    def frame_bytes(self) -> int:
        """Room for the largest frame."""
        return self.width * self.height * 2

    @property
    def manual(self) -> bool:
        """Is automatic exposure off?"""
        return self.auto_exposure.value == 1

    def reset(self) -> None:
        """As after power-on."""
        for control in self._controls.values():
            control.value = control.default
        self.streaming = None

    def answer(self, setup: bytes, data: bytes) -> bytes | None:
        """Answer a control transfer. data: what the host sends with it. STALL for what is unknown."""
        kind, request, value, index, length = struct.unpack("<BBHHH", setup)
        if kind & 0x60 == 0:
            answer = self._standard(kind, request, value)
        elif index & 0xFF == 1:
            answer = self._stream_request(request, value >> 8, data)
        else:
            answer = self._unit_request(request, (index >> 8, value >> 8), data)
        return STALL if answer is STALL else answer[:length] if kind & 0x80 else answer

    def _standard(self, kind: int, request: int, value: int) -> bytes | None:
        if request == _GET_DESCRIPTOR:
            return self._descriptor(value >> 8, value & 0xFF)
        if request == _CLEAR_FEATURE and kind == 2:  # a bulk stream is ended by clearing the endpoint's halt
            self.streaming = None
        return {_GET_STATUS: b"\0\0", _GET_CONFIGURATION: b"\1", _GET_INTERFACE: b"\0"}.get(request, b"")

    def _stream_request(self, request: int, selector: int, data: bytes) -> bytes | None:
        if request == _SET_CUR:
            if data[2] in FORMATS:
                self._probed = data[2]
            if selector == 2:
                self._committed = self._probed
                self.streaming = Stream(FORMATS[self._committed][0])
            return b""
        if request == _GET_LEN:
            return struct.pack("<H", 34)
        if request == _GET_INFO:
            return b"\x03"
        payload = self.frame_bytes + HEADER_BYTES
        return struct.pack(
            "<HBBIHHHHHIIIBBBB", 1, self._probed, 1, self.interval, 0, 0, 0, 0, 32, self.frame_bytes, payload,
            48_000_000, 0, 0, 0, 0,
        )  # fmt: skip

    def _unit_request(self, request: int, selector: tuple[int, int], data: bytes) -> bytes | None:
        control = self._controls.get(selector)
        if control is None:
            return STALL
        if request == _SET_CUR:
            control.value = int.from_bytes(data, "little")
            return b""
        return control.answer(request)

    def _descriptor(self, kind: int, index: int) -> bytes | None:
        if kind == 1:
            return struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, 0xEF, 2, 1, 64, 0x1D6B, 0x0104, 0x0100, 1, 2, 3, 1)
        if kind == 2:
            return self._configuration()
        if kind == 3 and index == 0:
            return bytes([4, 3, 9, 4])
        names = {1: "livemef", 2: "livemef USB camera", 3: "LIVEMEF0001"}
        if kind == 3 and index in names:
            text = names[index].encode("utf-16le")
            return bytes([2 + len(text), 3]) + text
        return STALL

    def _configuration(self) -> bytes:
        camera = struct.pack("<BBBBHBBHHHB", 18, 0x24, 2, _CAMERA, 0x0201, 0, 0, 0, 0, 0, 3) + bytes([0x0E, 0, 0])
        processing = struct.pack("<BBBBBHB", 12, 0x24, 5, _PROCESSING, _CAMERA, 0, 2) + bytes([0x40, 0x12, 0, 0])
        output = struct.pack("<BBBBHBBB", 9, 0x24, 3, 3, 0x0101, 0, _PROCESSING, 0)
        units = camera + processing + output
        control = struct.pack("<BBBHHIBB", 13, 0x24, 1, 0x0110, 13 + len(units), 48_000_000, 1, 1) + units
        formats = b"".join(self._format(index) for index in FORMATS)
        count = len(FORMATS)
        length = 13 + count + len(formats)
        stream = struct.pack("<BBBBHBBBBBBB", 13 + count, 0x24, 1, count, length, 0x81, 0, 3, 0, 0, 0, 1)
        stream += bytes(count) + formats
        body = (
            bytes([8, 11, 0, 2, 0x0E, 3, 0, 0])
            + bytes([9, 4, 0, 0, 0, 0x0E, 1, 0, 0])
            + control
            + bytes([9, 4, 1, 0, 1, 0x0E, 2, 0, 0])
            + stream
            + struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)
        )
        return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body

    def _format(self, index: int) -> bytes:
        _, fourcc, bits = FORMATS[index]
        if fourcc:
            described = (
                struct.pack("<BBBBB", 27, 0x24, 4, index, 1) + fourcc + _GUID_TAIL + bytes([bits, 1, 0, 0, 0, 0])
            )
        else:
            described = struct.pack("<BBBBBBBBBBB", 11, 0x24, 6, index, 1, 1, 1, 0, 0, 0, 0)
        rate = round(self.frame_bytes * 8 * 1e7 / self.interval)
        frame = struct.pack(
            "<BBBBBHHIIIIBI", 30, 0x24, 5 if fourcc else 7, 1, 0, self.width, self.height, rate, rate,
            self.frame_bytes, self.interval, 1, self.interval,
        )  # fmt: skip
        return described + frame + bytes([6, 0x24, 0x0D, 1, 1, 4])
