"""`livemef vcam`: fused pictures as a camera of this machine, for programs that know cameras only."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Annotated, Any

import cv2
import typer

from livemef.fusion.stream.subscription import Subscription, subscribe
from livemef.fusion.stream.wire import FUSED, picture_topic
from livemef.tools.counted import counted
from livemef.tools.exits import DONE, UserError
from livemef.tools.streams import interrupt_on_signals
from livemef.tools.video.h264 import even
from livemef.tools.watch import endpoint_of_run

MODULE = "sudo modprobe v4l2loopback video_nr=9 card_label=livemef exclusive_caps=1"
"""exclusive_caps: browsers list devices only that can nothing but capture."""


def vcam_command(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Device of v4l2loopback, as /dev/video9.")],
    endpoint: Annotated[
        str | None, typer.Argument(metavar="ENDPOINT", help="Where to listen; by default where run publishes.")
    ] = None,
    topic: Annotated[str, typer.Option(help="fused, exposure/0 (the darkest) ..., motion.")] = FUSED,
    fps: Annotated[float, typer.Option(min=1, max=240, help="Rate that the device states to its readers.")] = 30.0,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many pictures.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Give up after so many seconds without a picture.")] = 10.0,
) -> int:
    """Be a camera of this machine: the fused pictures on a device of Linux's v4l2loopback. Needs the extra v4l2.

    Example: livemef vcam /dev/video9
    """
    interrupt_on_signals()
    import linuxpy.video  # noqa: F401  # before the wait for a picture: a package that lacks is said at once

    sent = _Sent(device, fps)
    with subscribe(endpoint or endpoint_of_run(), (picture_topic(topic),), timeout_s=timeout, newest=True) as pictures:
        try:
            sent.pass_on(pictures, frames)
        except KeyboardInterrupt:
            pass
        finally:
            sent.close()
            print(f"{device}: {counted(sent.count, 'picture')}, {pictures.missed.gaps} missed", flush=True)
    return DONE


class _Sent:
    """The device, opened with the first picture, whose size it keeps."""

    def __init__(self, device: str, fps: float) -> None:
        self.count = 0
        self._device, self._fps = device, fps
        self._size = (0, 0)
        self._resources = ExitStack()
        self._output: Any = None

    def pass_on(self, pictures: Subscription, limit: int | None) -> None:
        """Write up to `limit` pictures. Raises UserError, ReceiveTimeout."""
        for message in pictures:
            picture = even(message.pixels)
            height, width = picture.shape[:2]
            if self._output is None:
                self._open(width, height)
            if self._size != (width, height):
                raise UserError(f"{self._device}: pictures have {width}x{height} pixels now; a camera keeps its size")
            try:
                self._output.write(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes())
            except OSError as error:
                raise UserError(f"{self._device}: takes no picture: {error.strerror or error}") from None
            self.count += 1
            if self.count == limit:
                return

    def _open(self, width: int, height: int) -> None:
        """Ask for planar 4:2:0, which programs know best, and begin."""
        from linuxpy.video.device import BufferType, Device

        try:
            device = self._resources.enter_context(Device(self._device))
            device.set_format(BufferType.VIDEO_OUTPUT, width, height, "YU12")
            with suppress(OSError):  # not every driver knows a rate
                device.set_fps(BufferType.VIDEO_OUTPUT, self._fps)
            granted = device.get_format(BufferType.VIDEO_OUTPUT)
            if (granted.width, granted.height, granted.pixel_format.human_str()) != (width, height, "YU12"):
                raise UserError(
                    f"{self._device}: keeps {granted.width}x{granted.height} {granted.pixel_format.human_str()}, "
                    f"{width}x{height} YU12 is needed: end the programs that read it, or load v4l2loopback anew"
                )
            self._output = device
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{self._device}: no virtual camera ({reason}); make one: {MODULE}") from None
        self._size = (width, height)

    def close(self) -> None:
        """Free the device."""
        self._resources.close()
