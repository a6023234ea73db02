"""The page's own files: markup, style sheet and ES modules, as they lie in `page/`."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).with_name("page")
PREFIX = "/page/"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


async def index(_: web.Request) -> web.StreamResponse:
    """The page."""
    return _file(FOLDER / "index.html")


async def page_file(request: web.Request) -> web.StreamResponse:
    """A style sheet or module of the page; 404 for any other name."""
    named = {path.name: path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}
    found = named.get(request.match_info["name"])
    return web.Response(status=404, text="the page has no such file\n") if found is None else _file(found)


def _file(path: Path) -> web.StreamResponse:
    # not from the system's table of file types: where that names none for .js, browsers refuse the modules
    return web.Response(body=path.read_bytes(), content_type=MEDIA_TYPES[path.suffix], charset="utf-8")
