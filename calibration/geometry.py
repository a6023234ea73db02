"""Lens distortion from a ChArUco board, and registration of a second camera to the first.

The model is OpenCV's pinhole with radial and tangential distortion (Zhang, "A Flexible New Technique for Camera
Calibration", PAMI 2000). A board, unlike a plain chessboard, may be partly outside the picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.calibration.drawing import GREEN, RED, Picture, captioned
from livemef.calibration.errors import CalibrationError
from livemef.calibration.profile import GeometrySection, Matrix3, RegistrationSection, now
from livemef.capture.files.image_io import to_8_bit
from livemef.capture.frame import Frame, Pixels

Values = NDArray[np.float64]

SQUARES = (8, 6)
VIEWS = 12
FEWEST_VIEWS = 5
FRAME_LIMIT = 1800
"""Most frames that are searched for views: a minute at 30 frames/s."""
MARKER_SHARE = 0.75
_LEAST_CORNERS = 8
_STILL_PX = 0.5
"""A board is still if its corners have moved less than this since the frame before."""
_NEW_SHARE = 0.05
"""A pose is new if its corners are on average this share of the width away from those of every view so far."""
_PRINT_SQUARE = 240


@dataclass(frozen=True)
class View:
    """The board's inner corners in one frame: their ids, and x, y in pixels (count x 2)."""

    numbers: NDArray[np.int32]
    corners: Values


def board(squares: tuple[int, int] = SQUARES) -> cv2.aruco.CharucoBoard:
    """The board: columns x rows of squares (the side of one is the unit), markers of the dictionary 5X5_100."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    return cv2.aruco.CharucoBoard(squares, 1.0, MARKER_SHARE, dictionary)


def board_picture(squares: tuple[int, int] = SQUARES) -> Picture:
    """The board to print, with a white margin of half a square."""
    size = (squares[0] + 1) * _PRINT_SQUARE, (squares[1] + 1) * _PRINT_SQUARE
    return np.asarray(board(squares).generateImage(size, marginSize=_PRINT_SQUARE // 2), np.uint8)


class BoardFinder:
    """Detector of the board in pictures."""

    def __init__(self, squares: tuple[int, int] = SQUARES) -> None:
        self._board = board(squares)
        self._detector = cv2.aruco.CharucoDetector(self._board)

    def find(self, pixels: Pixels) -> View | None:
        """The board's corners, refined to a fraction of a pixel; None if too few are found."""
        grey = cv2.cvtColor(to_8_bit(pixels), cv2.COLOR_BGR2GRAY)
        corners, numbers = self._detector.detectBoard(grey)[:2]
        if corners is None or numbers is None or len(numbers) < _LEAST_CORNERS:
            return None
        places = np.ascontiguousarray(corners, np.float32).reshape(-1, 1, 2)
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 40, 0.001)
        refined = cv2.cornerSubPix(grey, places, (4, 4), (-1, -1), criteria)
        return View(np.asarray(numbers, np.int32).ravel(), np.asarray(refined, float).reshape(-1, 2))

    def points(self, view: View) -> Values:
        """Positions of the view's corners on the board, count x 3, in squares."""
        return np.asarray(self._board.getChessboardCorners(), float)[view.numbers]


class StillPoses:
    """Selects, frame by frame, views of a board that is still and in a new pose."""

    def __init__(self, width: int) -> None:
        self._near = _NEW_SHARE * width
        self._before: View | None = None
        self._known: list[View] = []

    def new(self, view: View | None) -> bool:
        """Whether the board is still, in a pose that was not selected before."""
        before, self._before = self._before, view
        if view is None or before is None or _distance(view, before) >= _STILL_PX:
            return False
        if any(_distance(view, known) <= self._near for known in self._known):
            return False
        self._known.append(view)
        return True


def still_views(frames: Iterable[Frame], finder: BoardFinder, width: int) -> list[View]:
    """Up to VIEWS views of a board that is held still in ever new poses, from a live camera's frames."""
    poses, views = StillPoses(width), list[View]()
    for frame in itertools.islice(frames, FRAME_LIMIT):
        view = finder.find(frame.pixels)
        if poses.new(view) and view is not None:
            views.append(view)
        if len(views) == VIEWS:
            break
    return views


def all_views(frames: Iterable[Frame], finder: BoardFinder) -> list[View]:
    """Every view in pictures that were taken one by one."""
    return [view for frame in frames if (view := finder.find(frame.pixels)) is not None]


def _distance(view: View, other: View) -> float:
    """Mean distance of the corners in both views, px; infinite if they share too few."""
    first, second = _shared(view, other)
    return float(np.hypot(*(first - second).T).mean()) if len(first) >= _LEAST_CORNERS // 2 else float("inf")


def _shared(view: View, other: View) -> tuple[Values, Values]:
    _, here, there = np.intersect1d(view.numbers, other.numbers, return_indices=True)
    return view.corners[here], other.corners[there]


def measure_geometry(views: Sequence[View], finder: BoardFinder, width: int, height: int) -> GeometrySection:
    """The camera matrix and distortion. Raises CalibrationError for fewer than FEWEST_VIEWS views, or bad ones."""
    if len(views) < FEWEST_VIEWS:
        raise CalibrationError(
            f"the board was seen in {len(views)} poses, {FEWEST_VIEWS} are needed: hold it still in new poses, tilted, "
            "near and far (livemef calibrate geometry --print-board FILE makes the board)"
        )
    places = [finder.points(view).astype(np.float32) for view in views]
    corners = [view.corners.astype(np.float32) for view in views]
    rms, matrix, distortion = cv2.calibrateCamera(places, corners, (width, height), None, None)[:3]
    return GeometrySection(
        date=now(),
        camera_matrix=_rows(np.asarray(matrix, float)),
        distortion=_five(np.asarray(distortion, float).ravel()),
        views=len(views),
        rms_px=round(float(rms), 4),
    )


def paired_views(
    first: Iterable[Frame], second: Iterable[Frame], finder: BoardFinder, live: bool, width: int
) -> list[tuple[View, View]]:
    """Up to VIEWS views of both cameras at one time. live: only where the first sees it still, in a new pose."""
    poses, pairs = StillPoses(width), list[tuple[View, View]]()
    for one, two in itertools.islice(zip(first, second, strict=False), FRAME_LIMIT):
        view, other = finder.find(one.pixels), finder.find(two.pixels)
        wanted = poses.new(view) or not live
        if wanted and view is not None and other is not None:
            pairs.append((view, other))
        if len(pairs) == VIEWS:
            break
    return pairs


def measure_registration(pairs: Sequence[tuple[View, View]], second: str) -> RegistrationSection:
    """The homography from the second camera's pixels to the first's.

    It is valid for cameras at (nearly) one position, and for a flat or distant scene. Raises CalibrationError if too
    few corners are in both.
    """
    shared = [_shared(view, other) for view, other in pairs]
    here = np.concatenate([first for first, _ in shared]) if shared else np.zeros((0, 2))
    there = np.concatenate([other for _, other in shared]) if shared else np.zeros((0, 2))
    if len(here) < _LEAST_CORNERS:
        raise CalibrationError(
            f"both cameras see {len(here)} corners of the board at a time, {_LEAST_CORNERS} are needed"
        )
    homography, _ = cv2.findHomography(there, here, cv2.RANSAC, 3.0)
    if homography is None:
        raise CalibrationError("no homography brings the second camera's corners onto the first's")
    moved = cv2.perspectiveTransform(there[None], homography)[0]
    rms = float(np.sqrt(((moved - here) ** 2).sum(axis=1).mean()))
    return RegistrationSection(
        date=now(), second=second, homography=_rows(np.asarray(homography, float)), rms_px=round(rms, 4)
    )


def _rows(matrix: Values) -> Matrix3:
    first, second, third = ((float(a), float(b), float(c)) for a, b, c in matrix)
    return first, second, third


def _five(values: Values) -> tuple[float, float, float, float, float]:
    k1, k2, p1, p2, k3 = (float(value) for value in values[:5])
    return k1, k2, p1, p2, k3


def draw(section: GeometrySection, views: Sequence[View], width: int, height: int) -> Picture:
    """All corners found (red), and a regular grid as the lens distorts it (green)."""
    picture = np.full((height, width, 3), 255, np.uint8)
    matrix, distortion = np.array(section.camera_matrix), np.array(section.distortion)
    inverse = np.linalg.inv(matrix)
    for fixed in np.linspace(0, 1, 11):
        along = np.linspace(0, 1, 60)
        for x, y in ((np.full(60, fixed), along), (along, np.full(60, fixed))):
            pixels = np.stack([x * (width - 1), y * (height - 1), np.ones(60)], axis=1)
            bent = cv2.projectPoints(pixels @ inverse.T, np.zeros(3), np.zeros(3), matrix, distortion)[0]
            cv2.polylines(picture, [np.round(bent).astype(np.int32).reshape(-1, 1, 2)], False, GREEN, 1, cv2.LINE_AA)
    for view in views:
        for corner in view.corners:
            cv2.circle(picture, (round(corner[0]), round(corner[1])), 2, RED, -1)
    k1, k2 = section.distortion[:2]
    return captioned(picture, f"{section.views} views, {section.rms_px:.3f} px RMS, k1 {k1:.4f}, k2 {k2:.4f}")


def draw_registration(
    section: RegistrationSection, pairs: Sequence[tuple[View, View]], width: int, height: int
) -> Picture:
    """Corners of the first camera (green), and of the second after registration (red)."""
    picture = np.full((height, width, 3), 255, np.uint8)
    for view, other in pairs:
        moved = cv2.perspectiveTransform(other.corners[None], np.array(section.homography))[0]
        for corners, colour, radius in ((view.corners, GREEN, 4), (moved, RED, 2)):
            for corner in corners:
                cv2.circle(picture, (round(float(corner[0])), round(float(corner[1]))), radius, colour, 1, cv2.LINE_AA)
    return captioned(picture, f"registration of {section.second}: {section.rms_px:.3f} px RMS")
