"""The live configuration: what the processes of a pipeline are started with. Pure.

It begins as file, variables and flags say; each change that is accepted makes a new revision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from livemef.tools.config.live_keys import LIVE_KEYS, changed_config, described_keys_of, differences, live_values
from livemef.tools.config.schema import Config


class LiveState:
    """config: the present configuration. revision: of its live keys, from 1, never less than before. by: who changed a
    key last. base: the configuration of a new start. reload: reads that anew; raises UserError.
    """

    def __init__(self, config: Config, reload: Callable[[], Config] | None = None) -> None:
        self.config = self.base = config
        self.revision = 1
        self.by: dict[str, str] = {}
        self._reload = reload or (lambda: config)

    def with_keys(self, values: Mapping[str, Any]) -> Config:
        """The present configuration with these live keys (dotted) changed. Raises ChangeRefused."""
        config = self.config
        for table in dict.fromkeys(key.partition(".")[0] for key in values):
            change = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{table}.")}
            config = changed_config(config, table, change)
        return config

    def commit(self, values: Mapping[str, Any], who: str, revision: int) -> None:
        """Take over values that have been checked, as `revision` if that is greater than the present one."""
        self.config = self.with_keys(values)
        self.revision = max(revision, self.revision + 1)
        self.by |= dict.fromkeys(values, who)

    def reload_base(self) -> dict[str, Any]:
        """Read the configuration of a new start; returns the live keys that differ from it, with its values there."""
        self.base = self._reload()
        return differences(self.config, self.base)

    def snapshot(self) -> dict[str, Any]:
        """As GET /settings shows it, see docs/control.md."""
        return {
            "revision": self.revision,
            "changed": sorted(differences(self.base, self.config)),
            "values": live_values(self.config),
            "keys": described_keys_of(self.config),
            "by": {key: who for key, who in self.by.items() if key in LIVE_KEYS},
        }
