"""`python -m tools.preview sub+connect:ENDPOINT`: the preview alone, of any publisher."""

from __future__ import annotations

import argparse
import os
import sys

from fusion.errors import FusionError
from tools.preview.server import run_preview

TOKEN_VARIABLE = "LIVEMEF_PREVIEW__TOKEN"


def main() -> int:
    """Run it; 0 after SIGINT or SIGTERM, 2 if the surroundings do not allow it."""
    parser = argparse.ArgumentParser(prog="python -m tools.preview", description=__doc__)
    parser.add_argument("source", help="whose pictures to show: sub+connect:tcp://HOST:PORT or ...:ipc:///PATH")
    parser.add_argument("--host", default="127.0.0.1", help=f"one that is not loopback needs {TOKEN_VARIABLE}")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    token = os.environ.get(TOKEN_VARIABLE)
    try:
        run_preview(given.source, given.host, given.port, token, lambda url: print(f"preview at {url}", flush=True))
    except FusionError as error:
        print(f"livemef: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
