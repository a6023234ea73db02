"""Record brackets losslessly, then fuse what was recorded: python record_and_replay.py FOLDER [CAMERA] [BRACKETS]."""

import itertools
import sys
from pathlib import Path

import livemef


def main(folder: str, uri: str = "sim://", count: str = "10") -> None:
    """The recording also plays as a camera: livemef run --camera file://FOLDER/recording."""
    recording, fused = Path(folder) / "recording", Path(folder) / "fused"
    with livemef.open_camera(uri) as camera:
        camera.settle()
        with livemef.BracketRecorder(recording, camera.info) as recorder:
            for bracket in itertools.islice(camera.brackets("disjoint"), int(count)):
                recorder.write(bracket)
    fused.mkdir()
    with livemef.open_fuser() as fuser:
        for number, bracket in enumerate(livemef.read_recording(recording)):
            livemef.write_picture(fused / f"{number:04d}.png", fuser.fuse(bracket).pixels)
    print(f"{count} brackets in {recording}, fused in {fused}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
