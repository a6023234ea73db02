"""The USB camera: `python -m tests.vm.usb_camera URI`. It shows what the sim:// camera of that URI sees.

Commands on the standard input, each answered by "done": plug, unplug, stall SECONDS. Needs root and vhci_hcd.
"""

from __future__ import annotations

import struct
import sys
import threading
import time

import cv2
import numpy as np

from livemef.capture.cameras.registry import open_camera
from livemef.capture.cameras.simulated import SimulatedCamera
from livemef.capture.frame import Exposure, Pixels
from tests.vm import watermark
from tests.vm.usb_camera.usbip import UsbIpLink
from tests.vm.usb_camera.uvc import HEADER_BYTES, Stream, UvcDevice

AUTOMATIC_US = 15600.0
"""What this camera's automatic exposure takes, whatever the scene."""


def encode(pixels: Pixels, pixel_format: str) -> bytes:
    """A BGR picture, 8 bits, as the host asked for it."""
    if pixel_format == "YUYV":
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_YUY2).tobytes()
    if pixel_format == "NV12":
        height, width = pixels.shape[:2]
        planar = cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420)
        chroma = planar[height:].reshape(2, height * width // 4)
        return planar[:height].tobytes() + np.ascontiguousarray(chroma.T).tobytes()
    if pixel_format == "MJPEG":
        return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return (grey.astype("<u2") * 257).tobytes()


class UsbCamera:
    """The device, plugged in and out, and the thread that streams."""

    def __init__(self, uri: str) -> None:
        camera = open_camera(uri)
        assert isinstance(camera, SimulatedCamera)
        self._camera = camera
        info = camera.info
        self._device = UvcDevice(info.width, info.height, info.fps)
        self._period_s = 1 / info.fps
        self._link: UsbIpLink | None = None
        self._stalled_until = 0.0

    def plug(self) -> None:
        """Give the device to the kernel."""
        self._device.reset()
        self._link = UsbIpLink(self._device)
        threading.Thread(target=self._stream, args=[self._link], daemon=True).start()

    def unplug(self) -> None:
        """Take it away."""
        link, self._link = self._link, None
        if link is not None:
            link.unplug()

    def stall(self, seconds: float) -> None:
        """Send nothing for a while."""
        self._stalled_until = time.monotonic() + seconds

    def _stream(self, link: UsbIpLink) -> None:
        while self._link is link:
            stream = self._device.streaming
            if stream:
                self._frames(link, stream)
            else:
                link.wait(0.2)

    def _frames(self, link: UsbIpLink, stream: Stream) -> None:
        """One stream, from its start to its stop. Frames are made at the pace at which they are sent."""
        self._camera.start()
        asked = None
        toggle = 0
        due = time.monotonic()
        while self._link is link and self._device.streaming is stream:
            begun = time.monotonic()
            pixels = self._picture()
            payload = _payload_header(begun, toggle) + encode(pixels, stream.pixel_format)
            toggle ^= 1
            due = max(due + self._period_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic(), self._stalled_until - time.monotonic()))
            if not link.transfer(payload, stream):
                return
            wish = self._device.exposure.value * 100.0 if self._device.manual else AUTOMATIC_US
            if wish != asked:
                asked = wish
                self._camera.request(Exposure(wish))

    def _picture(self) -> Pixels:
        pixels = self._camera.read(1.0).pixels
        truth = self._camera.truth[-1]
        watermark.draw(pixels, truth.sequence, truth.exposure.exposure_us)
        return pixels


def _payload_header(begun: float, toggle: int) -> bytes:
    """End of header, source clock, presentation time, end of frame (UVC 1.1, 2.4.3.3)."""
    stamp = int(begun * 48e6) & 0xFFFFFFFF
    return struct.pack("<BBIIH", HEADER_BYTES, 0x8E | toggle, stamp, stamp, int(begun * 1000) & 0x7FF)


def main(uri: str) -> None:
    """Obey the standard input until it ends."""
    camera = UsbCamera(uri)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "stall":
            camera.stall(float(arguments[0]))
        else:
            {"plug": camera.plug, "unplug": camera.unplug}[command]()
        print("done", flush=True)
    camera.unplug()


if __name__ == "__main__":
    main(sys.argv[1])
