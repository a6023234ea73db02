"""The device of each start of the fusion process: with `auto`, the CPU once CUDA has failed too often."""

from __future__ import annotations

import logging
from dataclasses import dataclass

FALLBACK_AFTER = 3

_LOG = logging.getLogger(__name__)


@dataclass
class DeviceChoice:
    """configured: auto, cpu or cuda. driver_here: whether there is an NVIDIA driver at all."""

    configured: str
    driver_here: bool
    fallen_back: bool = False

    def next(self, failures: int, was_on: str | None, reason: str) -> str:
        """The device for the next start of the process.

        failures: starts in a row that failed. was_on: the device of the last one, None if it opened none. reason: how
        the last one ended. CUDA that failed FALLBACK_AFTER times in a row is not tried again by this program.
        """
        on_cuda = was_on == "cuda" or (was_on is None and self.driver_here)
        if self.configured == "auto" and not self.fallen_back and on_cuda and failures >= FALLBACK_AFTER:
            self.fallen_back = True
            _LOG.warning("fusion: CUDA failed %d times in a row (%s); it goes on with the CPU", failures, reason)
        return "cpu" if self.fallen_back else self.configured
