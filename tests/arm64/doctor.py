"""`livemef doctor` with more time for each look: an emulated processor is ten times as slow."""

import sys

from livemef.tools.cli import main
from livemef.tools.doctor.command import run_probe

if __name__ == "__main__":
    run_probe.__defaults__ = (300.0,)
    sys.exit(main(["doctor"]))
