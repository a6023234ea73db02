"""A USB device given to the kernel's virtual host controller (vhci_hcd), over USB/IP on a socket pair.

Reference: the kernel's Documentation/usb/usbip_protocol.rst. No network: the kernel gets one end of the pair.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from pathlib import Path

from tests.vm.usb_camera.uvc import STALL, Stream, UvcDevice

_CONTROLLER = Path("/sys/devices/platform/vhci_hcd.0")
_HIGH_SPEED, _DEVICE_ID = 3, 0x10001
_SUBMIT, _UNLINK, _SUBMITTED, _UNLINKED = 1, 2, 3, 4
_EPIPE, _ECONNRESET = 32, 104


class UsbIpLink:
    """One plugged-in device. `transfer` hands the host bulk data; `unplug` ends it all."""

    def __init__(self, device: UvcDevice) -> None:
        self._device = device
        theirs, self._ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._changed = threading.Condition()
        """Held for every reply: a transfer must be answered before the kernel is told that it cannot be called back."""
        self._asked: deque[tuple[int, int]] = deque()
        self._gone = False
        self._attach(theirs)
        self._reader = threading.Thread(target=self._serve, daemon=True)
        self._reader.start()

    def transfer(self, data: bytes, stream: Stream) -> bool:
        """Send one payload, in as many transfers as the host asks for. False if the stream is no longer on."""
        sent = 0
        while sent < len(data):
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._gone or self._device.streaming is not stream, 1.0)
                if self._gone or self._device.streaming is not stream:
                    return False
                if not self._asked:
                    continue
                number, room = self._asked.popleft()
                self._reply(number, 0, data[sent : sent + room])
            sent += room
        return True

    def wait(self, timeout_s: float) -> None:
        """Sleep until the host does something, or for `timeout_s`."""
        with self._changed:
            self._changed.wait(timeout_s)

    def unplug(self) -> None:
        """As when the plug is pulled."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        (_CONTROLLER / "detach").write_text(str(self._port))
        self._ours.shutdown(socket.SHUT_RDWR)
        self._reader.join(5.0)
        self._ours.close()

    def _attach(self, theirs: socket.socket) -> None:
        ports = (line.split() for line in (_CONTROLLER / "status").read_text().splitlines()[1:])
        self._port = next(int(port[1]) for port in ports if port[0] == "hs" and port[2] == "004")
        (_CONTROLLER / "attach").write_text(f"{self._port} {theirs.fileno()} {_DEVICE_ID} {_HIGH_SPEED}")
        theirs.close()

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._ours.recv(count - len(data))
            if not more:
                raise ConnectionError("the kernel has let go of the device")
            data += more
        return data

    def _reply(self, number: int, status: int, data: bytes = b"", length: int | None = None) -> None:
        length = len(data) if length is None else length
        with self._changed:
            self._ours.sendall(
                struct.pack(">IIIIIiIIII8x", _SUBMITTED, number, 0, 0, 0, status, length, 0, 0, 0) + data
            )

    def _serve(self) -> None:
        try:
            while True:
                header = self._receive(48)
                command, number, _, to_host, endpoint = struct.unpack(">IIIII", header[:20])
                if command == _SUBMIT:
                    self._submitted(number, bool(to_host), endpoint, header)
                elif command == _UNLINK:
                    self._unlink(number, struct.unpack(">I", header[20:24])[0])
                with self._changed:
                    self._changed.notify_all()
        except OSError:
            with self._changed:
                self._gone = True
                self._changed.notify_all()

    def _submitted(self, number: int, to_host: bool, endpoint: int, header: bytes) -> None:
        room = struct.unpack(">I", header[24:28])[0]
        data = self._receive(room) if not to_host and room else b""
        if endpoint:
            with self._changed:
                self._asked.append((number, room))
            return
        answer = self._device.answer(header[40:48], data)
        if answer is STALL:
            self._reply(number, -_EPIPE)
        elif to_host:
            self._reply(number, 0, answer)
        else:
            self._reply(number, 0, length=room)

    def _unlink(self, number: int, victim: int) -> None:
        with self._changed:
            waiting = next((asked for asked in self._asked if asked[0] == victim), None)
            if waiting is not None:
                self._asked.remove(waiting)
            status = -_ECONNRESET if waiting is not None else 0
            self._ours.sendall(struct.pack(">IIIIIi24x", _UNLINKED, number, 0, 0, 0, status))
