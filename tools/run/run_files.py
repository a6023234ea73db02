"""What a run leaves in its folder for programs of the same user: where its page is, and its control token."""

from __future__ import annotations

import json
import os

from livemef.fusion.stream.local_runs import DESCRIPTION, TOKEN
from livemef.tools.config.schema import Config
from livemef.tools.run.pipeline import Place


def page_address(config: Config) -> str:
    """URL of the page, which ends with a slash."""
    host = f"[{config.preview.host}]" if ":" in config.preview.host else config.preview.host
    return f"{'https' if config.preview.certificate else 'http'}://{host}:{config.preview.port}/"


def write_run_files(place: Place, config: Config) -> None:
    """`control.token`, and `run.json` with `pid`, `page` (null: none) and `camera`; for this user alone."""
    described = {
        "pid": os.getpid(),
        "page": page_address(config) if config.preview.enabled else None,
        "camera": config.camera_in_use.camera,
    }
    for name, text in ((TOKEN, place.control_token), (DESCRIPTION, json.dumps(described))):
        path = place.folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
