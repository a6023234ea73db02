"""Random scenes in which things move, before the simulated sensor, and the same scenes stopped at a moment."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from livemef.capture.cameras.simulation.motion import Path
from livemef.capture.cameras.simulation.scene import Mover, Scene
from livemef.capture.cameras.simulation.sensor import Sensor, SensorModel
from livemef.capture.cameras.simulation.view import Lamps, Shutter, View

FPS, READOUT_S, MARGIN = 30.0, 0.012, 120
LONG_US = 16000.0
QUIET = SensorModel(full_well=200000.0, read_noise=2.0, row_noise=0.0, column_noise=0.0, prnu=0.0, adc=12)
"""A sensor so good that what differs is motion: noise that moved along would pass for an error."""
KINDS = ("objects", "pan", "shake", "pan and objects", "shake and objects")


@dataclass(frozen=True)
class Straight:
    """Even travel; pixels a second."""

    start: tuple[float, float]
    speed: tuple[float, float] = (0.0, 0.0)

    def at(self, time_s: float) -> tuple[float, float]:
        return self.start[0] + self.speed[0] * time_s, self.start[1] + self.speed[1] * time_s


@dataclass(frozen=True)
class Shake:
    """A hand: sines of a few hertz. (amplitude px, frequency Hz, phase) across and down."""

    centre: tuple[float, float]
    across: tuple[tuple[float, float, float], ...]
    down: tuple[tuple[float, float, float], ...]

    def at(self, time_s: float) -> tuple[float, float]:
        moves = [sum(a * np.sin(2 * np.pi * f * time_s + p) for a, f, p in waves) for waves in (self.across, self.down)]
        return self.centre[0] + moves[0], self.centre[1] + moves[1]


@dataclass(frozen=True)
class Stopped:
    """A path on which time stands still."""

    path: Path
    time_s: float

    def at(self, time_s: float) -> tuple[float, float]:
        return self.path.at(self.time_s)


@dataclass(frozen=True)
class Case:
    """A scene, and how it is taken: in cycles of so many exposures, shortest first, ev_gap between the two ends."""

    name: str
    scene: Scene
    ev_gap: float
    height: int
    width: int
    seed: int
    exposures: int = 2

    @property
    def lights(self) -> tuple[float, ...]:
        last = self.exposures - 1
        return tuple(LONG_US / 2 ** (self.ev_gap * (last - index) / last) for index in range(self.exposures))

    def exposure_us(self, number: int) -> float:
        return self.lights[number % self.exposures]

    def frames(self, newest: int) -> tuple[int, ...]:
        """The frames of the bracket with this newest one, dark to bright."""
        return tuple(newest - (newest - index) % self.exposures for index in range(self.exposures))

    def shutter(self, number: int) -> Shutter:
        exposure_s = self.exposure_us(number) / 1e6
        return Shutter((number + 1) / FPS - exposure_s, exposure_s, READOUT_S)

    def centre_s(self, number: int) -> float:
        """When the middle row's exposure is half over."""
        shutter = self.shutter(number)
        return shutter.start_s + shutter.exposure_s / 2 + READOUT_S / 2


class Stage:
    """Takes pictures of a case."""

    def __init__(self, case: Case, model: SensorModel = QUIET) -> None:
        self.case, self._model = case, model
        self._sensor = Sensor(self._model, case.height, case.width, case.seed)

    def take(self, number: int, stopped_s: float | None = None):
        """Frame `number`; with everything at rest as at `stopped_s`, or as it moves. BGR uint8."""
        case = self.case
        scene = case.scene if stopped_s is None else at_rest(case.scene, stopped_s)
        view = View(scene, case.height, case.width, self._model.full_well, Lamps(0.0, 100.0))
        return self._sensor.develop(self._sensor.expose(view.bands(case.shutter(number)), 1.0, number)).copy()

    def bracket(self, newest: int):
        """Exposures dark to bright of the bracket with this newest frame, and the index of the newest."""
        return [self.take(number) for number in self.case.frames(newest)], newest % self.case.exposures

    def truth(self, newest: int):
        """The same with the world stopped at the newest frame's moment: same noise."""
        moment = self.case.centre_s(newest)
        return [self.take(number, moment) for number in self.case.frames(newest)]

    def moving(self, newest: int):
        """Where anything moves from the start of the oldest frame to the end of the newest: HxW bool."""
        case = self.case
        start, end = case.shutter(min(case.frames(newest))).start_s, (newest + 1) / FPS + READOUT_S
        moves = np.subtract(case.scene.window.at(start), case.scene.window.at(end))
        if np.hypot(*moves) > 1e-6:
            return np.ones((case.height, case.width), bool)
        mask = np.zeros((case.height, case.width), np.float32)
        for time_s in np.linspace(start, end, 41):
            for mover in case.scene.movers:
                mask = np.maximum(mask, self._covered(mover, time_s))
        return cv2.dilate(mask, np.ones((7, 7), np.uint8)) > 0.02

    def object_pixels(self, mover: Mover, newest: int):
        """Where the mover covers all of a pixel at the newest frame's moment."""
        covered = self._covered(mover, self.case.centre_s(newest))
        return cv2.erode((covered > 0.98).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0

    def _covered(self, mover: Mover, time_s: float):
        place, window = mover.path.at(time_s), self.case.scene.window.at(time_s)
        shift = np.float32([[1, 0, place[0] - window[0]], [0, 1, place[1] - window[1]]])
        return cv2.warpAffine(mover.coverage, shift, (self.case.width, self.case.height))


def at_rest(scene: Scene, time_s: float) -> Scene:
    movers = tuple(replace(mover, path=Stopped(mover.path, time_s)) for mover in scene.movers)
    return Scene(scene.radiance, Stopped(scene.window, time_s), movers)


def noise(rng, height, width, finest=2.0, coarsest=64.0, fade=0.7):
    """Smooth random texture, standard deviation about 1: octaves from `coarsest` to `finest` pixels."""
    total, size, weight = np.zeros((height, width)), coarsest, 1.0
    while size >= finest:
        cells = rng.standard_normal((int(height / size) + 3, int(width / size) + 3))
        total += weight * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        size, weight = size / 2, weight * fade
    return total / total.std()


def backdrop(rng, height, width):
    """A wall in shade and sun with a bright window, boards, and a floor: linear BGR, 1.0 fills a well in 16 ms."""
    light = 0.12 * 2 ** (1.0 * noise(rng, height, width, 100, 400))
    paint = 2 ** (0.45 * noise(rng, height, width))
    radiance = (light * paint)[..., None] * rng.uniform(0.6, 1.3, 3)
    for _ in range(rng.integers(3, 7)):  # posters, doors, boards: sharp edges, colours of their own
        y, x = rng.integers(0, height - 60), rng.integers(0, width - 80)
        h, w = rng.integers(40, 160), rng.integers(40, 240)
        radiance[y : y + h, x : x + w] *= 2 ** rng.uniform(-2, 2) * rng.uniform(0.5, 1.5, 3)
    y, x = int(rng.uniform(0.1, 0.4) * height), int(rng.uniform(0.1, 0.6) * width)
    h, w = int(0.35 * height), int(0.3 * width)
    sky = 2.5 * 2 ** (0.5 * noise(rng, h, w, 8, 128))
    radiance[y : y + h, x : x + w] = sky[..., None] * [1.2, 1.0, 0.8]
    radiance[y : y + h, x + w // 2 - 5 : x + w // 2 + 5] = 0.04
    return np.maximum(cv2.GaussianBlur(radiance, (0, 0), 0.8), 1e-4).astype(np.float32)


def mover(rng, path: Path) -> Mover:
    """A blob of a person's or a car's outlines, textured, of any brightness that either exposure can show."""
    h, w = rng.integers(40, 130), rng.integers(30, 110)
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    outline = 0.8 + 0.12 * np.sin(3 * np.arctan2(y, x) + rng.uniform(0, 6)) - np.hypot(x, y) ** rng.uniform(1, 3)
    coverage = np.clip(outline * 0.4 * min(h, w), 0, 1)
    level = 2.0 ** rng.uniform(-5.5, 0.5)
    colour = (level * 2 ** (0.4 * noise(rng, h, w, 3, 32)))[..., None] * rng.uniform(0.4, 1.4, 3)
    return Mover((colour * coverage[..., None]).astype(np.float32), coverage.astype(np.float32), path)


def random_case(number: int, kind: str, height: int = 360, width: int = 640) -> Case:
    """A case of a kind, always the same for a number."""
    rng = np.random.default_rng([number, 77])
    radiance = backdrop(rng, height + 2 * MARGIN + 2, width + 2 * MARGIN + 2)
    angle = rng.uniform(0, 2 * np.pi)
    window: Path = Straight((MARGIN, MARGIN))
    if kind.startswith("pan"):
        speed = FPS * 2 ** rng.uniform(0, 4)
        across, down = speed * np.cos(angle), 0.2 * speed * np.sin(angle)
        window = Straight((MARGIN - 0.12 * across, MARGIN - 0.12 * down), (across, down))
    elif kind.startswith("shake"):
        waves = [tuple((rng.uniform(1, 4), rng.uniform(2, 9), rng.uniform(0, 6)) for _ in range(3)) for _ in range(2)]
        window = Shake((MARGIN, MARGIN), *waves)
    movers = []
    if "objects" in kind:
        for _ in range(rng.integers(2, 5)):
            speed, way = FPS * 2 ** rng.uniform(0, np.log2(40)), rng.uniform(0, 2 * np.pi)
            velocity = speed * np.cos(way), 0.4 * speed * np.sin(way)
            meets = MARGIN + rng.uniform(0.2, 0.7) * width, MARGIN + rng.uniform(0.2, 0.6) * height
            start = meets[0] - 0.12 * velocity[0], meets[1] - 0.12 * velocity[1]
            movers.append(mover(rng, Straight(start, velocity)))
    ev_gap = float(rng.uniform(2, 5))
    return Case(
        f"{number} {kind}, {ev_gap:.1f} EV", Scene(radiance, window, tuple(movers)), ev_gap, height, width, number
    )
