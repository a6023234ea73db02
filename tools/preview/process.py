"""The preview as a watched process of the pipeline."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from livemef.capture.child import Lifeline, run_child
from livemef.fusion.errors import FusionError
from livemef.tools.preview.page_job import PageJob


def main(pipe: Connection, parent_pid: int, job: PageJob) -> None:
    """The process: serves the page until the supervisor ends it. Reports its address as `url` when it is ready."""
    run_child(pipe, parent_pid, (FusionError,), partial(_body, job))


def _body(job: PageJob, lifeline: Lifeline) -> Mapping[str, Any]:
    server = _server()
    os.nice(server.NICENESS)
    preview = server.Preview(job, lifeline)

    def stopping() -> bool:
        ends = lifeline.stopping
        preview.take_in()  # what that has read from the pipe: the loop would not be woken for it any more
        return ends

    asyncio.run(server.serve(preview, stopping, lifeline.beat, lambda url: lifeline.ready(url=url)))
    return {}


def _server() -> Any:
    """The server's module, which needs the "web" extra. Raises FusionError where that is missing."""
    try:
        from livemef.tools.preview import server
    except ImportError as error:
        raise FusionError(
            f"the preview needs {error.name}: pip install 'livemef[web]', or run with --no-preview"
        ) from None
    return server
