"""Footage that alternates its exposures, as a reel: file://CLIP?exposures=2&ev=3."""

from __future__ import annotations

import itertools
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livemef.capture.bracketing.labelling_brightness import brightness_level
from livemef.capture.cameras.alternation import COMPARED_CYCLES, AlternationPhase, order_of
from livemef.capture.cameras.base import CameraInfo, CameraLimits
from livemef.capture.cameras.pacing import REPLAY_PACES
from livemef.capture.errors import CaptureError, EndOfStream
from livemef.capture.files.video import DEFAULT_FPS, Footage, open_footage
from livemef.capture.frame import Exposure, Frame, FrameRecord, LabelSource, Pixels, brightness
from livemef.capture.uri import Reader, number, one_of, switch, whole

LOG = logging.getLogger("livemef.capture.footage")

MOST_EXPOSURES = 8


@dataclass(frozen=True)
class Alternation:
    """How footage alternates. exposures: members of a bracket. order: place in the bracket (0 = darkest) of each frame
    of a cycle; None = found from the brightness of the first cycles. steps_ev: stops from each exposure to the next
    brighter one; None = not known.
    """

    exposures: int = 2
    order: tuple[int, ...] | None = None
    steps_ev: tuple[float, ...] | None = None

    def lights(self) -> tuple[float, ...] | None:
        """Light of each exposure relative to the darkest; None = not known."""
        if self.steps_ev is None:
            return None
        return tuple(2.0**stops for stops in itertools.accumulate(self.steps_ev, initial=0.0))

    @staticmethod
    def of_values(values: dict[str, object]) -> Alternation:
        """From the parameters of a URI or the options of a command. Raises ValueError if they contradict each other."""
        exposures, order, steps = values.get("exposures", 2), values.get("order"), values.get("ev")
        assert isinstance(exposures, int)
        if isinstance(order, tuple) and set(order) != set(range(exposures)):
            raise ValueError(f"order must name each of the exposures 0 to {exposures - 1} (0 = darkest)")
        if isinstance(steps, tuple):
            steps = steps * (exposures - 1) if len(steps) == 1 else steps
            if len(steps) != exposures - 1:
                raise ValueError(f"ev must be one number, or {exposures - 1}, from each exposure to the next")
        return Alternation(exposures, order, steps)  # type: ignore[arg-type]


def read_steps(text: str) -> tuple[float, ...]:
    """Reader of ev=3 or ev=2,3: stops between neighbouring exposures, each 0.1 to 12."""
    return tuple(number(0.1, 12)(part) for part in text.split(","))


def read_order(text: str) -> tuple[int, ...]:
    """Reader of order=1,0 or order=0,1,2,1: the place in the bracket of each frame of a cycle, 0 = darkest."""
    if not re.fullmatch(r"\d(,\d)*", text):
        raise ValueError("expected places in the bracket, 0 = darkest, for instance 1,0")
    return tuple(map(int, text.split(",")))


FOOTAGE_PARAMETERS: dict[str, Reader] = {
    "pace": one_of(REPLAY_PACES),
    "loop": switch,
    "fps": number(0.01, 1000.0),
    "exposures": whole(2, MOST_EXPOSURES),
    "ev": read_steps,
    "order": read_order,
}


class FootageReel:
    """Frames of a video file or of a folder of numbered pictures, labelled by their place in the cycle.

    No frame has an exposure time, for none is known; `relative_light` is set where the stops between the exposures are.
    Each lap of a loop is an epoch of its own.
    """

    def __init__(self, uri: str, path: Path, alternation: Alternation, loop: bool, fps: float | None) -> None:
        """Open the footage. Raises CaptureError if it cannot be read or is shorter than a cycle."""
        self.footage = open_footage(path)
        first = self.footage.frame(0)
        if first is None:
            raise CaptureError(f"camera '{uri}': {path} holds no frame that can be read")
        self._shape, self._dtype, self._uri = first.shape, first.dtype, uri
        self._known_order = alternation.order is not None
        self._phase = self._found_phase(alternation)
        self._lights = alternation.lights()
        self._loop = loop
        self._lap_frames: int | None = None  # known when the end has been reached once
        self._period_ns = 1e9 / (fps or self.footage.fps or DEFAULT_FPS)
        self.length = None
        self.info = self._describe(uri, path, alternation.exposures)

    def due_ns(self, place: int) -> int:
        """At the end of the frame's period."""
        return round((place + 1) * self._period_ns)

    def frame(self, place: int) -> Frame:
        """Frame `place`. Raises EndOfStream past the end, CaptureError for a frame of another size or depth."""
        lap, inside = divmod(place, self._lap_frames) if self._lap_frames else (0, place)
        pixels = self.footage.frame(inside)
        if pixels is None:
            if not self._loop or not inside:
                raise EndOfStream(f"camera '{self._uri}': the last frame has been played")
            self._lap_frames = inside
            return self.frame(place)
        if pixels.shape != self._shape or pixels.dtype != self._dtype:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, self._shape)]
            name = self.footage.name(inside)
            raise CaptureError(
                f"camera '{self._uri}': {name} is {sizes[0]} {pixels.dtype}, the first {sizes[1]} {self._dtype}"
            )
        index = self._index(inside, pixels)
        record = FrameRecord(
            sequence=place,
            timestamp_ns=round(place * self._period_ns),
            clock="monotonic",
            received_ns=0,
            index=index,
            label_source=LabelSource.NATIVE if self._known_order else LabelSource.BRIGHTNESS,
            confidence=1.0,
            epoch=lap,
            white_level=float(np.iinfo(self._dtype).max),
            relative_light=None if self._lights is None else self._lights[index],
        )
        return Frame(record, pixels)

    def _index(self, number: int, pixels: Pixels) -> int:
        slips = len(self._phase.slips)
        index = self._phase.index(number, brightness(pixels))
        if number and len(self._phase.slips) > slips:
            LOG.warning(
                "%s: the exposures slip at %s: one is missing or doubled there; followed by brightness",
                self.footage.path.name,
                self.footage.name(number),
            )
        return index

    def _found_phase(self, alternation: Alternation) -> AlternationPhase:
        exposures = alternation.exposures
        levels = _first_levels(self.footage, 2 * COMPARED_CYCLES * exposures)
        if len(levels) < exposures:
            raise CaptureError(f"camera '{self._uri}': the footage is shorter than a cycle of {exposures} exposures")
        if alternation.order:
            return AlternationPhase(alternation.order, levels)
        found = order_of(levels, exposures)
        if found is None:
            raise CaptureError(
                f"camera '{self._uri}': the first frames do not alternate between {exposures} exposures of different "
                f"brightness: correct exposures=, or state the order, for instance order="
                f"{','.join(map(str, range(exposures)))}"
            )
        order, start = found
        return AlternationPhase(order, levels, start)

    def _describe(self, uri: str, path: Path, exposures: int) -> CameraInfo:
        lights = self._lights or tuple(2.0**index for index in range(exposures))
        plan = tuple(Exposure(0.5e-3 * self._period_ns * light / lights[-1]) for light in lights)
        return CameraInfo(
            uri=uri,
            name=f"footage {path.name}",
            width=self._shape[1],
            height=self._shape[0],
            dtype=str(self._dtype),
            fps=1e9 / self._period_ns,
            limits=CameraLimits(plan[0].exposure_us, plan[-1].exposure_us),
            can_request=False,
            plan=plan,
            nominal_plan=True,
        )


def _first_levels(footage: Footage, count: int) -> list[float]:
    """Brightness levels of the first frames."""
    levels: list[float] = []
    while len(levels) < count and (pixels := footage.frame(len(levels))) is not None:
        levels.append(brightness_level(brightness(pixels)))
    return levels
