"""Every route that the server has, over real sockets: without the token, from foreign pages, in another form.

test_guard.py has the whole table of the rules; this holds that no route is left out of them.
"""

import http.client
import re
from collections.abc import Iterator

import pytest

pytest.importorskip("aiohttp")

from livemef.tools.preview.api import ROUTES
from livemef.tools.preview.field_api import FIELD_ROUTES
from livemef.tools.preview.page_job import PageJob
from livemef.tools.preview.server import Preview
from tests.tools.preview.test_https import serving

VIEW, CONTROL = "v" * 43, "c" * 43
OF_PAGE = ("/", "/ws", "/stream.mjpeg", "/healthz", "/metrics", "/snapshot.jpg", "/snapshot.png")


def filled(path: str) -> str:
    """The path with something in place of its names."""
    return re.sub(r"\{\w+\}", "x", path.replace("{table}", "runtime"))


TABLE = [(route.method, f"/api/v1{filled(route.path)}", route.role) for route in (*ROUTES, *FIELD_ROUTES)]
TABLE += [("GET", path, "view") for path in OF_PAGE]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a page with both tokens, on loopback."""
    source = f"sub+connect:ipc://{tmp_path_factory.mktemp('routes')}/s"
    with serving(PageJob(source, "127.0.0.1", 0, VIEW, CONTROL)) as url:
        yield int(url.rstrip("/").rpartition(":")[2])


def status(port: int, method: str, path: str, token: str | None, **headers: str) -> int:
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {} if token is None else {"Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body=None, headers=sent)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_table_has_every_route_of_the_server() -> None:
    routes = Preview(PageJob("sub+connect:ipc:///tmp/x", "127.0.0.1", 0)).routes()
    paths = {route.path for route in routes}
    assert paths == {*OF_PAGE, "/page/{name}", "/api/v1/{rest:.*}"}


@pytest.mark.parametrize(("method", "path", "role"), TABLE)
def test_a_route_is_behind_the_lock(port: int, method: str, path: str, role: str) -> None:
    assert status(port, method, path, None) == 401
    assert status(port, method, path, None, Host="127.0.0.1", Cookie="livemef=x") == 401
    if role == "view":
        assert status(port, method, path, VIEW) not in (401, 403, 415, 500)
    else:
        assert status(port, method, path, VIEW) == 401
        for foreign in ({"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
            assert status(port, method, path, CONTROL, **foreign) == 403
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            assert status(port, method, path, CONTROL, Content_Type=kind) == 415
        assert status(port, method, path, CONTROL) in (404, 409, 422)  # let in; there is no pipeline here


def test_the_page_s_own_files_need_no_token_and_no_path_leads_out_of_them(port: int) -> None:
    assert status(port, "GET", "/page/main.js", None) == 200
    for path in ("/page/../server.py", "/page/%2e%2e%2fserver.py", "/page/..%2fserver.py", "/page//etc/passwd"):
        assert status(port, "GET", path, None) in (401, 403, 404)
