"""Requests that no page of ours makes: strange headers, floods, proxies."""

import asyncio
import contextlib
import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import cv2
import numpy as np
import pytest

from livemef.tools.preview import api, connections, server, snapshots
from livemef.tools.preview.access import names_this_machine, same_origin
from livemef.tools.preview.server import HEADERS
from tests.fusion.stream.stream_samples import ramp
from tests.tools.preview.preview_rig import Show, get, get_when, serving

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
STRANGE = ["[", "[::1", "]", "http://[", "//", "127.0.0.1:x:y", "a b", "\u00e9", "", "[v1.x]"]


@pytest.fixture
def place(tmp_path):
    return f"ipc://{tmp_path}/s"


def headers_of(port, method, path, **sent):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=sent)
        response = connection.getresponse()
        response.read()
        return response.status, dict(response.getheaders())
    finally:
        connection.close()


@pytest.mark.parametrize("name", STRANGE)
def test_names_that_are_no_url_are_foreign(name):
    assert not names_this_machine(name) or name == "127.0.0.1:x:y"
    assert not same_origin(name, "127.0.0.1:8080")
    assert not same_origin(f"http://{name}", "127.0.0.1:8080")


def test_strange_headers_are_refused_and_not_a_failure(place):
    with serving(place) as port:
        for name in ("[", "[::1", "http://["):
            assert get(port, "/", Host=name)[0] in (400, 403)
            assert get(port, "/ws", Origin=f"http://{name}", **UPGRADE)[0] == 403


def test_what_is_no_http_is_refused_without_a_traceback(place, caplog):
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    chunks = request + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"
    with serving(place) as port:
        for data in (b"\0" * 1000, b"\x16\x03\x01\2\0", request + b"Content-Length: -5\r\n\r\n", chunks):
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(data)
                assert connection.recv(100).split()[1] in (b"400", b"403")
        assert get(port, "/")[0] == 200
    assert "Error handling request" not in caplog.text


def test_every_answer_carries_the_headers_of_security(place):
    with serving(place) as port:
        for method, path, sent, status in (
            ("GET", "/", {}, 200),
            ("GET", "/nothing", {}, 404),
            ("POST", "/", {}, 405),
            ("GET", "/", {"Host": "evil.example"}, 403),
            ("GET", "/snapshot.png", {}, 503),
        ):
            found, told = headers_of(port, method, path, **sent)
            assert found == status
            assert HEADERS.items() <= told.items(), path
    with serving(place, token="s3cret") as port:
        found, told = headers_of(port, "GET", "/")
        assert found == 401
        assert HEADERS.items() <= told.items()


def test_a_proxy_that_puts_its_own_name_into_host(place):
    assert same_origin("https://camera.example", "127.0.0.1:8080", "camera.example")
    with serving(place) as port:
        assert get(port, "/ws", Origin="https://camera.example", **UPGRADE)[0] == 403
        proxied = {"Origin": "https://camera.example", "X-Forwarded-Host": "camera.example"}
        assert headers_of(port, "GET", "/ws", **UPGRADE, **proxied)[0] == 101
    with serving(place, token="s3cret") as port:  # who has the token is no foreign page
        path = "/ws?token=s3cret"
        assert headers_of(port, "GET", path, Origin="https://camera.example", **UPGRADE)[0] == 101
        assert headers_of(port, "GET", "/ws", Origin="https://camera.example", **UPGRADE)[0] == 401


def test_the_pages_files_are_there_for_all_and_nothing_beside_them(place):
    with serving(place, token="s3cret") as port:
        status, headers = headers_of(port, "GET", "/page/main.js")
        assert status == 200
        assert headers["Content-Type"] == "text/javascript; charset=utf-8"
        for name in ("nothing.js", "..%2Fserver.py", "%2E%2E/server.py", ""):
            assert get(port, f"/page/{name}")[0] in (401, 404)


def test_who_floods_is_disconnected_and_the_rest_is_served(place):
    async def flood(session, port):
        async with session.ws_connect(f"http://127.0.0.1:{port}/ws") as ws:
            try:
                for _ in range(10_000):
                    await ws.send_str("next")
            except (ConnectionError, aiohttp.ClientError):
                pass
            while (message := await ws.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                pass
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

    async def all_at_once(port):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.wait_for(asyncio.gather(*(flood(session, port) for _ in range(20))), 60)

    with Show(place), serving(place) as port:
        get_when(port, "/healthz", 200)
        asyncio.run(all_at_once(port))
        get_when(port, "/healthz", 200)


def test_no_more_browsers_than_can_be_served(place, monkeypatch):
    monkeypatch.setattr(server, "MOST_SOCKETS", 2)

    async def three(port):
        url = f"http://127.0.0.1:{port}/ws"
        async with aiohttp.ClientSession() as session, session.ws_connect(url), session.ws_connect(url) as second:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url)
            assert refused.value.status == 503
            await second.close()
            for _ in range(100):
                try:
                    async with session.ws_connect(url):
                        return
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.05)
            raise AssertionError("a place that was left is not given away")

    with serving(place) as port:
        asyncio.run(three(port))


def test_snapshots_at_once_share_the_work(place, monkeypatch):
    made, busy = [], threading.Lock()
    encode = snapshots._encode

    def counted(received, suffix):
        assert busy.acquire(blocking=False), "two at a time"
        try:
            made.append(suffix)
            return encode(received, suffix)
        finally:
            busy.release()

    monkeypatch.setattr(snapshots, "_encode", counted)
    with Show(place, make=lambda seq: ramp(np.uint8, 300, 400)), serving(place) as port:
        get_when(port, "/snapshot.png", 200)
        made.clear()
        with ThreadPoolExecutor(30) as browsers:
            answers = list(browsers.map(lambda _: get(port, "/snapshot.png"), range(30)))
        assert [status for status, _ in answers] == [200] * 30
        for _, body in answers:
            picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(picture, ramp(np.uint8, 300, 400))
        assert len(made) < 20


def test_connections_by_the_thousand_keep_nobody_out(place, monkeypatch, caplog):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 20)
    with serving(place) as port, contextlib.ExitStack() as idle:
        for _ in range(60):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert get(port, "/")[0] == 200
        assert not caplog.records


def test_a_connection_that_is_used_is_kept(place, monkeypatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 8)
    with serving(place) as port, contextlib.ExitStack() as idle:
        events = idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        events.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert events.recv(1 << 16).startswith(b"HTTP/1.1 200")
        for _ in range(30):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert get(port, "/")[0] == 200
        events.settimeout(0.3)
        with contextlib.suppress(TimeoutError):  # more events may have come, but not the end
            while True:
                assert events.recv(1 << 16)


def test_where_every_connection_is_used_a_new_one_is_refused(place, monkeypatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)
    with serving(place) as port, contextlib.ExitStack() as used:
        for _ in range(3):
            events = used.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            events.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert events.recv(1 << 16)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(port, "/")


def test_head_is_answered_like_get_without_the_body(place):
    with serving(place) as port:
        for path in ("/", "/api/v1/status", "/api/v1/openapi.json"):
            status, headers = headers_of(port, "HEAD", path)
            assert status == 200
            assert int(headers["Content-Length"]) > 0
        assert headers_of(port, "HEAD", "/api/v1/events")[0] == 405


def test_a_message_about_a_body_quotes_the_pattern_as_it_is():
    outcome = api._parsed(b'{"name": "../x"}', api.RecordingBody)
    assert "[A-Za-z0-9_-]" in outcome.body["detail"]
