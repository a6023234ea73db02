"""`livemef preview`: the page alone, of any publisher."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from livemef.tools.exits import DONE
from livemef.tools.preview.page_job import PageJob

TOKEN_VARIABLE = "LIVEMEF_PREVIEW__TOKEN"


def preview_command(
    source: Annotated[
        str,
        typer.Argument(metavar="ENDPOINT", help="Whose pictures: sub+connect:tcp://HOST:PORT or ...:ipc:///PATH"),
    ] = "sub+connect:tcp://127.0.0.1:5556",
    host: Annotated[
        str, typer.Option(help=f"Where to serve; one that is not loopback needs {TOKEN_VARIABLE}.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to serve; 0 takes a free port.")] = 8080,
    certificate: Annotated[
        str,
        typer.Option(metavar="FILE", envvar="LIVEMEF_PREVIEW__CERTIFICATE", help="Serve https: its chain, a PEM file."),
    ] = "",
    key: Annotated[
        str,
        typer.Option(metavar="FILE", envvar="LIVEMEF_PREVIEW__KEY", help="The certificate's private key, a PEM file."),
    ] = "",
) -> int:
    """Show any publisher's pictures in the browser, until Ctrl-C.

    Example: livemef preview sub+connect:tcp://192.168.1.20:5556 --port 8081
    """
    from livemef.tools.preview.server import run_preview  # needs the extra "web"; --help does not

    token = os.environ.get(TOKEN_VARIABLE)
    job = PageJob(source, host, port, token, certificate=certificate, key=key)
    run_preview(job, lambda url: print(f"preview at {url}", flush=True))
    print("preview ended", flush=True)
    return DONE
