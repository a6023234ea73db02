"""Recordings: brackets in a folder, lossless, readable after any sudden death. The format is docs/recording.md."""

from __future__ import annotations

import itertools
import json
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO, TextIO

from livemef.capture.cameras.base import CameraInfo
from livemef.capture.errors import CaptureError
from livemef.capture.files.archival_tiff import TiffMetadata
from livemef.capture.files.dng import DngCamera, write_dng
from livemef.capture.files.image_io import read_picture, write_atomically, write_picture
from livemef.capture.frame import Bracket, Exposure, Frame, FrameRecord, Verdict
from livemef.capture.transport.frame_json import info_from_dict, info_to_dict, record_from_dict, record_to_dict

FORMAT = "livemef-recording"
VERSION = 1
HEADER_FILE, FRAMES_FILE, BRACKETS_FILE, PICTURES = "recording.json", "frames.jsonl", "brackets.jsonl", "frames"

_REMEMBERED = 64
"""Frames that a later (sliding) bracket may still share with an earlier one."""
_FASTEST_PNG = 1
_LONGEST_HEADER, _LONGEST_LINE = 1 << 20, 1 << 16


@dataclass(frozen=True)
class StoredBracket:
    """A bracket in a recording: places in the recording's list of frames, dark to bright."""

    frames: tuple[int, ...]
    verdict: Verdict


class RecordingWriter:
    """Writes brackets into a new folder from a thread of its own.

    A bracket that `accept` took is written, whatever comes, unless this process is killed or the disk refuses; the
    latter is raised by the next call. Frames that brackets share are stored once. Use it as a context manager.
    """

    def __init__(
        self, folder: str | Path, info: CameraInfo, queue_brackets: int = 16, dng: DngCamera | None = None
    ) -> None:
        """Create the folder (it may exist, empty). info.plan: the exposures in use. dng: frames that have a mosaic are
        stored as DNG files as well. Raises CaptureError.
        """
        self.folder = Path(folder)
        self._dng = dng
        self.brackets_accepted = 0
        self.brackets_refused = 0
        _make_empty_folder(self.folder)
        write_atomically(self.folder / HEADER_FILE, json.dumps(_header(info), indent=1).encode())
        self._queue: queue.Queue[tuple[Bracket, tuple[Frame, ...]] | None] = queue.Queue(queue_brackets)
        self._known: deque[tuple[Any, ...]] = deque(maxlen=_REMEMBERED)
        self._places: dict[tuple[Any, ...], int] = {}
        self._count = 0
        self._failure: CaptureError | None = None
        self._thread: threading.Thread | None = threading.Thread(
            target=self._work, name="recording-writer", daemon=True
        )
        self._thread.start()

    def accept(self, bracket: Bracket, frames: Sequence[Frame], timeout_s: float = 0.0) -> bool:
        """Take a bracket with its frames (of `bracket.records`, in that order); the pixels are copied.

        Returns False if the queue stayed full for `timeout_s`: the bracket was not taken. Raises CaptureError after the
        disk refused something.
        """
        self._raise_failure()
        if tuple(frame.record for frame in frames) != bracket.records:
            raise ValueError("the frames are not those of the bracket")
        if self._queue.full() and timeout_s <= 0:
            self.brackets_refused += 1
            return False
        owned = tuple(replace(frame, pixels=frame.pixels.copy()) for frame in frames)
        try:
            self._queue.put((bracket, owned), timeout=max(timeout_s, 1e-3))
        except queue.Full:
            self._raise_failure()
            self.brackets_refused += 1
            return False
        self.brackets_accepted += 1
        return True

    def close(self, timeout_s: float = 60.0) -> None:
        """Write what was accepted, then end. Raises CaptureError if something could not be written."""
        if self._thread is not None:
            deadline = time.monotonic() + timeout_s
            try:
                self._queue.put(None, timeout=timeout_s)
            except queue.Full:
                raise CaptureError(f"recording {self.folder}: not written within {timeout_s:g} s") from None
            self._thread.join(max(0.0, deadline - time.monotonic()))
            if self._thread.is_alive():
                raise CaptureError(f"recording {self.folder}: not written within {timeout_s:g} s")
            self._thread = None
        self._raise_failure()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        frames_path, brackets_path = self.folder / FRAMES_FILE, self.folder / BRACKETS_FILE
        try:
            (self.folder / PICTURES).mkdir()
            with (
                open(frames_path, "a", encoding="utf-8") as frames,
                open(brackets_path, "a", encoding="utf-8") as brackets,
            ):
                while (item := self._queue.get()) is not None:
                    self._store(*item, frames, brackets)
        except CaptureError as error:
            self._fail(error)
        except OSError as error:
            self._fail(CaptureError(f"recording {self.folder}: cannot be written: {error.strerror}"))

    def _store(self, bracket: Bracket, frames: Sequence[Frame], frames_file: TextIO, brackets_file: TextIO) -> None:
        for frame in sorted(frames, key=lambda frame: frame.record.sequence):
            if _identity(frame.record) not in self._places:
                self._store_frame(frame, frames_file)
        places = [self._places[_identity(record)] for record in bracket.records]
        _append(brackets_file, {"frames": places, "verdict": bracket.verdict.value})

    def _store_frame(self, frame: Frame, frames_file: TextIO) -> None:
        file = f"{PICTURES}/{self._count:08d}.png"
        write_picture(self.folder / file, frame.pixels, png_compression=_FASTEST_PNG)
        line: dict[str, Any] = {"file": file, "record": record_to_dict(frame.record)}
        if self._dng is not None and frame.mosaic is not None:
            line["raw"] = f"{PICTURES}/{self._count:08d}.dng"
            write_dng(self.folder / line["raw"], frame.mosaic, self._dng, _raw_metadata(frame.record, self._dng))
        _append(frames_file, line)
        identity = _identity(frame.record)
        if len(self._known) == _REMEMBERED:
            del self._places[self._known[0]]
        self._known.append(identity)
        self._places[identity] = self._count
        self._count += 1

    def _fail(self, error: CaptureError) -> None:
        """Note the failure, then keep the queue flowing so that nobody hangs; later calls raise."""
        self._failure = error
        while self._queue.get() is not None:
            pass


class Recording:
    """A recording opened for reading: its camera, and all frames of its complete brackets, in the order of time."""

    def __init__(self, folder: str | Path) -> None:
        """Read the lists (not the pictures). Raises CaptureError if the folder holds no readable recording."""
        self.folder = Path(folder)
        header = _read_header(self.folder)
        self.info: CameraInfo = info_from_dict(header.get("camera", {}))
        self.created: str = str(header.get("created", ""))
        stored = [self._stored(number, line) for number, line in _lines(self.folder / FRAMES_FILE)]
        listed = [self._bracket(number, line, len(stored)) for number, line in _lines(self.folder / BRACKETS_FILE)]
        needed = sorted({place for bracket in listed for place in bracket.frames})
        moved = {place: new for new, place in enumerate(needed)}
        self.records: tuple[FrameRecord, ...] = tuple(stored[place][0] for place in needed)
        self.files: tuple[Path, ...] = tuple(stored[place][1] for place in needed)
        self.brackets = tuple(replace(b, frames=tuple(moved[place] for place in b.frames)) for b in listed)
        self._refuse_other_sizes()
        if not self.brackets:
            raise CaptureError(f"recording {self.folder}: holds no complete bracket")
        self.info = replace(self.info, plan=self._exposures() or self.info.plan)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(place) for place in range(len(self)))

    def frame(self, place: int) -> Frame:
        """The frame at a place in the list, with the pixels and the record that it had when it was recorded."""
        pixels = read_picture(self.files[place])
        expected = (self.info.height, self.info.width, 3), self.info.dtype
        if (pixels.shape, str(pixels.dtype)) != expected:
            raise CaptureError(f"recording {self.folder}: {self.files[place].name} is not {expected[0]} {expected[1]}")
        return Frame(self.records[place], pixels)

    def _exposures(self) -> tuple[Exposure, ...]:
        """The exposures that the frames of the largest brackets had, dark to bright: their median; none if one is
        unknown.

        The header's plan is what was asked for, and older recordings have that of before it was settled.
        """
        size = max(len(bracket.frames) for bracket in self.brackets)
        taken = [[self.records[place].exposure for place in b.frames] for b in self.brackets if len(b.frames) == size]
        columns = [[exposure for exposure in column if exposure] for column in zip(*taken, strict=True)]
        if not all(len(column) == len(taken) for column in columns):
            return ()
        return tuple(
            Exposure(median(exposure.exposure_us for exposure in column), median(exposure.gain for exposure in column))
            for column in columns
        )

    def _refuse_other_sizes(self) -> None:
        for number, bracket in enumerate(self.brackets, 1):
            size = len(bracket.frames)
            if any(self.records[place].bracket_size not in (0, size) for place in bracket.frames):
                raise CaptureError(
                    f"recording {self.folder}: {BRACKETS_FILE} line {number}: has {size} frames, which are not of a "
                    "bracket of that many"
                )

    def _stored(self, number: int, line: Mapping[str, Any]) -> tuple[FrameRecord, Path]:
        where = f"recording {self.folder}: {FRAMES_FILE} line {number}"
        if not isinstance(line.get("file"), str) or not isinstance(line.get("record"), dict):
            raise CaptureError(f"{where}: is no frame")
        name = line["file"][:200]
        if len(line["file"]) > len(name):
            raise CaptureError(f"{where}: {name!r}... is no file name")
        path = self.folder / name
        try:
            inside = path.resolve().is_relative_to(self.folder.resolve())
        except (ValueError, OSError, RuntimeError):  # no file can have this name; a loop of links
            raise CaptureError(f"{where}: {name!r} is no file name") from None
        if not inside:
            raise CaptureError(f"{where}: {name} lies outside the recording")
        try:
            return record_from_dict(line["record"]), path
        except CaptureError as error:
            raise CaptureError(f"{where}: {error}") from None

    def _bracket(self, number: int, line: Mapping[str, Any], frames: int) -> StoredBracket:
        places = line.get("frames")
        valid = isinstance(places, list) and places and all(type(p) is int and 0 <= p < frames for p in places)
        try:
            if not valid:
                raise ValueError
            return StoredBracket(tuple(places or ()), Verdict(line.get("verdict")))
        except ValueError:
            raise CaptureError(f"recording {self.folder}: {BRACKETS_FILE} line {number}: is no bracket") from None


def is_recording(folder: str | Path) -> bool:
    """Whether the folder holds a recording (as against plain pictures), be it broken: an interrupted copy has no
    header yet, and its frames are not the exposures of one scene.
    """
    return any(os.path.lexists(Path(folder) / name) for name in (HEADER_FILE, BRACKETS_FILE))


def _header(info: CameraInfo) -> dict[str, Any]:
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"format": FORMAT, "version": VERSION, "created": created, "camera": info_to_dict(info)}


def _read_header(folder: Path) -> dict[str, Any]:
    with _opened(folder / HEADER_FILE) as file:
        text = file.read(_LONGEST_HEADER + 1)
    if len(text) > _LONGEST_HEADER:
        raise CaptureError(f"recording {folder}: {HEADER_FILE} is larger than 1 MiB")
    header = _parsed(text)
    if header is None:
        raise CaptureError(f"recording {folder}: {HEADER_FILE} is not JSON")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CaptureError(f"recording {folder}: {HEADER_FILE} is not that of a recording")
    if header.get("version") != VERSION:
        version = str(header.get("version"))[:20]
        raise CaptureError(f"recording {folder}: has version {version}; this program reads {VERSION}")
    return header


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON lines of a file with their numbers; a last line without an end was cut short by a sudden death."""
    if not path.exists():
        return
    with _opened(path) as file:
        for number in itertools.count(1):
            line = file.readline(_LONGEST_LINE)
            if not line.endswith(b"\n"):
                if len(line) == _LONGEST_LINE:
                    raise CaptureError(f"recording {path.parent}: {path.name} line {number} is longer than 64 KiB")
                return
            value = _parsed(line)
            if not isinstance(value, dict):
                raise CaptureError(f"recording {path.parent}: {path.name} line {number} is not a JSON object")
            yield number, value


def _parsed(text: bytes) -> Any:
    """A JSON value; None for what is none, such as numbers of thousands of digits or a hundred thousand brackets."""
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file of a recording, opened for reading. Raises CaptureError; a pipe or a device is never opened."""
    try:
        if path.exists() and not path.is_file():
            raise CaptureError(f"recording {path.parent}: {path.name} is not a regular file")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise CaptureError(f"recording {path.parent}: {path.name} cannot be read: {error.strerror}") from None


def _raw_metadata(record: FrameRecord, camera: DngCamera) -> TiffMetadata:
    now = datetime.now().astimezone()
    return TiffMetadata(
        description=f"frame {record.sequence}",
        software=f"livemef {version('livemef')}",
        taken=now.strftime("%Y:%m:%d %H:%M:%S"),
        offset=now.isoformat()[-6:],
        model=camera.name,
        exposure_us=None if record.exposure is None else record.exposure.exposure_us,
    )


def _append(file: TextIO, value: Mapping[str, Any]) -> None:
    file.write(json.dumps(value, separators=(",", ":")) + "\n")
    file.flush()


def _identity(record: FrameRecord) -> tuple[Any, ...]:
    return record.epoch, record.sequence, record.timestamp_ns


def _make_empty_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CaptureError(f"recording {folder}: the folder is not empty: name a new one")
    except OSError as error:
        raise CaptureError(f"recording {folder}: cannot be created: {error.strerror}") from None
