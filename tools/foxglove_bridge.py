"""`livemef foxglove`: fused pictures for Foxglove, live over its WebSocket and as MCAP files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from livemef.calibration.profile import load_profile
from livemef.capture.files.image_io import to_8_bit
from livemef.fusion.stream.codecs import compress
from livemef.fusion.stream.header_text import header_json
from livemef.fusion.stream.subscription import Subscription, subscribe
from livemef.fusion.stream.wire import FUSED, Message, picture_topic
from livemef.tools.counted import counted
from livemef.tools.exits import DONE, UserError
from livemef.tools.foxglove_parameters import SettingsListener
from livemef.tools.preview.access import is_loopback
from livemef.tools.streams import interrupt_on_signals
from livemef.tools.watch import endpoint_of_run

BACKLOG = 16
"""Messages that wait for one client; of more, the oldest picture is dropped for it."""
LEAST_FREE_BYTES = 64 << 20
"""On the disk of a recording: two raw pictures of 4K, and the index of the file."""


def foxglove_command(
    endpoint: Annotated[
        str | None, typer.Argument(metavar="ENDPOINT", help="Where to listen; by default where run publishes.")
    ] = None,
    topics: Annotated[str, typer.Option(help="With commas: fused, exposure/0 (the darkest) ..., motion.")] = FUSED,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on; 0 takes a free one.")] = 8765,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve on an address that others reach: Foxglove knows no password.")
    ] = False,
    mcap: Annotated[Path | None, typer.Option(help="Record into this file, .mcap, as well.")] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Let clients change the settings of the run here, as parameters.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="ADDRESS", help="The run to change, as of livemef ctl; with --control."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="RawImage, 8 bits, instead of JPEG.")] = False,
    profile: Annotated[Path | None, typer.Option(help="Profile with a geometry: sends CameraCalibration.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many pictures.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Give up after so many seconds without a picture.")] = 10.0,
) -> int:
    """Show the pictures in Foxglove, or record them as MCAP. Needs the extra foxglove.

    Open ws://127.0.0.1:8765 in Foxglove. /livemef/fused is CompressedImage, /livemef/header is JSON.

    Example: livemef foxglove --mcap take.mcap
    """
    import foxglove

    interrupt_on_signals()
    if not insecure and not is_loopback(host):
        raise UserError(f"--host {host}: whoever reaches it could watch, for Foxglove knows no password; or --insecure")
    if at is not None and not control:
        raise UserError("--at names the run that --control lets clients change; say both")
    calibration = None if profile is None else _calibration_of(profile)
    names = tuple(dict.fromkeys(picture_topic(name.strip()) for name in topics.split(",")))
    with ExitStack() as stack:
        context = foxglove.Context()
        check_room = None if mcap is None else stack.enter_context(_recording(mcap, context))
        stack.enter_context(_serving(host, port, context, SettingsListener(at) if control else None))
        bridge = _Bridge(context, names, raw, calibration)
        pictures = stack.enter_context(subscribe(endpoint or endpoint_of_run(), names, timeout_s=timeout, newest=True))
        try:
            for message in _first(pictures, frames):
                if check_room is not None:
                    check_room()
                bridge.log(message)
        except KeyboardInterrupt:
            pass
        finally:
            print(f"{counted(bridge.count, 'picture')}, {pictures.missed.gaps} missed", flush=True)
    return DONE


def _first(pictures: Subscription, limit: int | None) -> Iterable[Message]:
    return pictures if limit is None else (next(pictures) for _ in range(limit))


def _calibration_of(path: Path) -> dict[str, Any]:
    """Foxglove's CameraCalibration, without its time, from a profile."""
    profile = load_profile(path)
    if profile.geometry is None:
        raise UserError(f"{path}: has no geometry; livemef calibrate geometry measures it")
    matrix = [float(entry) for row in profile.geometry.camera_matrix for entry in row]
    return {
        "width": profile.width,
        "height": profile.height,
        "distortion_model": "plumb_bob",  # ROS's name of k1, k2, p1, p2, k3
        "D": [float(entry) for entry in profile.geometry.distortion],
        "K": matrix,
        "R": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "P": [*matrix[0:3], 0.0, *matrix[3:6], 0.0, *matrix[6:9], 0.0],
    }


class _Bridge:
    """The channels of one context of Foxglove's SDK."""

    def __init__(self, context: Any, topics: Iterable[str], raw: bool, calibration: dict[str, Any] | None) -> None:
        from foxglove import Channel, channels, messages

        self.count = 0
        self._messages, self._raw, self._calibration = messages, raw, calibration
        kind = channels.RawImageChannel if raw else channels.CompressedImageChannel
        self._pictures = {topic: kind(f"/livemef/{topic}", context=context) for topic in topics}
        self._header = Channel("/livemef/header", message_encoding="json", context=context)
        self._calibrations = channels.CameraCalibrationChannel("/livemef/calibration", context=context)

    def log(self, message: Message) -> None:
        """Hand one picture to whoever looks and to the file."""
        self.count += 1
        header = message.header
        log_time = header.timestamp_wall_ns
        stamp = self._messages.Timestamp(sec=log_time // 10**9, nsec=log_time % 10**9)
        channel = self._pictures[message.topic]
        if channel.has_sinks():
            make = self._raw_image if self._raw else self._compressed_image
            channel.log(make(message, stamp), log_time=log_time)
        if message.topic == FUSED or FUSED not in self._pictures:
            self._header.log(header_json(header), log_time=log_time)
            if self._calibration:
                calibration = self._messages.CameraCalibration(
                    timestamp=stamp, frame_id=header.frame_id, **self._calibration
                )
                self._calibrations.log(calibration, log_time=log_time)

    def _compressed_image(self, message: Message, stamp: Any) -> Any:
        data = compress(to_8_bit(message.pixels), "jpeg").tobytes()
        return self._messages.CompressedImage(
            timestamp=stamp, frame_id=message.header.frame_id, data=data, format="jpeg"
        )

    def _raw_image(self, message: Message, stamp: Any) -> Any:
        pixels = to_8_bit(message.pixels)  # Foxglove's RawImage knows no colour of 16 bits
        return self._messages.RawImage(
            timestamp=stamp,
            frame_id=message.header.frame_id,
            width=pixels.shape[1],
            height=pixels.shape[0],
            encoding="bgr8",
            step=pixels.shape[1] * 3,
            data=pixels.tobytes(),
        )


@contextmanager
def _serving(host: str, port: int, context: Any, listener: SettingsListener | None) -> Iterator[None]:
    """Foxglove's WebSocket server; with a listener, clients may change settings."""
    import foxglove
    from foxglove.websocket import Capability

    try:
        server = foxglove.start_server(
            name="livemef",
            host=host,
            port=port,
            context=context,
            message_backlog_size=BACKLOG,
            capabilities=[Capability.Parameters] if listener else [],
            server_listener=listener,
        )
    except RuntimeError as error:
        raise UserError(f"--host {host} --port {port}: cannot be served: {error}") from None
    print(f"Foxglove: ws://{host}:{server.port}", flush=True)
    try:
        if listener:
            listener.start(server)
        yield
    finally:
        if listener:
            listener.stop()
        server.stop()


@contextmanager
def _recording(path: Path, context: Any) -> Iterator[Callable[[], None]]:
    """An MCAP file of all that is logged, under a temporary name until it is whole. Gives `_check_room` of its disk."""
    import foxglove
    from foxglove.mcap import MCAPWriteOptions

    if path.suffix != ".mcap":
        raise UserError(f"--mcap {path}: the name must end in .mcap")
    if path.exists():
        raise UserError(f"--mcap {path}: is there already; nothing is overwritten")
    partial = path.with_name(f".{path.stem}.partial.mcap")
    try:
        # JPEG does not grow smaller, and raw pictures would cost more time than the fusion
        options = MCAPWriteOptions(compression=None)
        writer = foxglove.open_mcap(partial, allow_overwrite=True, context=context, writer_options=options)
    except OSError as error:
        raise UserError(f"--mcap {path}: cannot be written: {error.strerror or error}") from None
    try:
        yield lambda: _check_room(path)
    finally:
        try:
            writer.close()
        except RuntimeError as error:
            raise UserError(f"--mcap {path}: cannot be finished: {error}; what was written is {partial}") from None
        partial.replace(path)


def _check_room(path: Path) -> None:
    """Raises UserError before the disk is full: the SDK writes from threads of its own, and raises nothing there."""
    if shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES:
        raise UserError(f"--mcap {path}: less than {LEAST_FREE_BYTES >> 20} MiB are free on that disk: recording ends")
