"""Where log records go: one handler on the standard error, set up by the command line and by each child process."""

from __future__ import annotations

import logging

from livemef.tools.remedies import as_typed_here
from livemef.tools.streams import complain

LEVELS = ("debug", "info", "warning", "error")
DEFAULT_LEVEL = "info"


class _StandardError(logging.Handler):
    """Writes each record as one line to `sys.stderr` as it is at that moment: rich replaces it while a line is live."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a standard error that is closed or full loses it."""
        complain(as_typed_here(self.format(record)))


def set_up_logging(level: str = DEFAULT_LEVEL, prefix: str = "") -> None:
    """Print records of the logger "livemef" and those below it, from `level` (one of LEVELS) up, on the standard error.

    prefix: stands before each message, such as "fusion: ". A second call replaces the handler of the first.
    """
    handler = _StandardError()
    handler.setFormatter(logging.Formatter(f"livemef: {prefix}%(message)s"))
    logger = logging.getLogger("livemef")
    for former in [former for former in logger.handlers if isinstance(former, _StandardError)]:
        logger.removeHandler(former)
    logger.addHandler(handler)
    logger.setLevel(level.upper())


def log_level() -> str:
    """The level that is in force, one of LEVELS."""
    return logging.getLevelName(logging.getLogger("livemef").getEffectiveLevel()).lower()
