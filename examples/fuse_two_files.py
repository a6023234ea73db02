"""Fuse two pictures of one scene: python fuse_two_files.py under.jpg over.jpg fused.png."""

import sys

import livemef


def main(first: str, second: str, output: str) -> None:
    """Read, fuse, write. The order of the two does not matter; PNG and TIFF keep 16 bits."""
    pictures = [livemef.read_picture(first), livemef.read_picture(second)]
    livemef.write_picture(output, livemef.fuse(pictures))
    print(f"{output}: {pictures[0].shape[1]}x{pictures[0].shape[0]}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:4])
    except livemef.LivemefError as error:  # one line: what, where, what to do
        sys.exit(f"fuse_two_files: {error}")
