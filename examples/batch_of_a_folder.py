"""Fuse every folder of pictures within a folder: python batch_of_a_folder.py SCENES FUSED."""

import sys
from pathlib import Path

import livemef


def main(scenes: str, output: str) -> int:
    """One picture for each folder; a bad folder is reported and the others go on. Returns how many were bad."""
    bad = 0
    Path(output).mkdir(exist_ok=True)
    settings = livemef.FusionSettings(motion="full")  # the pictures were held by hand
    with livemef.open_fuser(settings) as fuser:
        for scene in sorted(folder for folder in Path(scenes).iterdir() if folder.is_dir()):
            try:
                pictures = [livemef.read_picture(path) for path in sorted(scene.iterdir())]
                livemef.write_picture(Path(output) / f"{scene.name}.png", fuser.fuse(pictures).pixels)
                print(f"{scene.name}: {len(pictures)} exposures")
            except livemef.LivemefError as error:
                bad += 1
                print(f"{scene.name}: {error}", file=sys.stderr)
    return bad


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(2 if main(*sys.argv[1:3]) else 0)
