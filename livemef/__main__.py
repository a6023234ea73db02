"""`python -m livemef`: the command line."""

import sys

from livemef.tools.cli import main

sys.exit(main())
