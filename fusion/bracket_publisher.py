"""Publishing from a program: fused pictures under a header that describes their bracket."""

from __future__ import annotations

from livemef.capture.frame import CapturedBracket
from livemef.fusion.bracket_fuser import BracketFuser
from livemef.fusion.fuser import Fused
from livemef.fusion.stream.header import bracket_header, motion_of
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.wire import FUSED


class BracketPublisher:
    """Publishes fused brackets over ZeroMQ, as `livemef run` does. Use it as a context manager; not thread-safe."""

    def __init__(self, endpoint: str, codec: str = "raw", frame_id: str = "camera", *, insecure: bool = False) -> None:
        """Open the endpoint, for instance "tcp://127.0.0.1:5556". Raises FusionError if it is wrong or in use.

        codec: "raw", "jpeg" or "png". frame_id: the camera's name in the headers. insecure: serve everybody who can
        reach an endpoint off this machine, instead of those alone whose keys are allowed (docs/security.md).
        """
        self._publisher = Publisher(endpoint, codec, insecure=insecure)
        self._frame_id = frame_id
        self._seq = 0

    @property
    def address(self) -> str:
        """The address in use; with port 0 asked for, the port that was found."""
        return self._publisher.address

    def publish(self, bracket: CapturedBracket, fused: Fused, fuser: BracketFuser) -> bool:
        """Send a fused picture to whoever listens to topic "fused"; the pixels are copied. Never waits.

        fuser: what fused it, for the header. Returns False where nobody listens, or where subscribers are too far
        behind.
        """
        header = bracket_header(
            bracket.bracket,
            self._seq,
            frame_id=self._frame_id,
            latency_ms=fused.stages_ms,
            model_sha256=fuser.model_sha256,
            device=fuser.device,
            fusion=fuser.settings.as_dict(),
            motion=motion_of(fused.motion),
        )
        self._seq += 1
        return self._publisher.publish(FUSED, header, fused.pixels)

    def close(self) -> None:
        """Close the endpoint; waits a fifth of a second at most for what is on its way. May be called twice."""
        self._publisher.close()

    def __enter__(self) -> BracketPublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
