"""The API behind both doors: whatever is sent is answered, and nothing unchecked reaches the supervisor."""

import asyncio
import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livemef.capture.child import Command
from livemef.tools.config.live_keys import LIVE_KEYS, check_change
from livemef.tools.config.schema import Config
from livemef.tools.preview.api import ROUTES, Api, Request
from livemef.tools.preview.gate_link import GateLink
from livemef.tools.preview.router_door import Sender, parsed
from livemef.tools.run.live_state import LiveState
from livemef.tools.run.outcome import Outcome

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "gamma",
        "exposures",
        "camera",
        "device",
        "threads",
        "process",
        "name",
        "seconds",
        "brackets",
        "count",
        "format",
        "after",
        "wait_s",
        "x",
    ]
)
BODIES = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(NAMES, JSON, max_size=3).map(lambda value: json.dumps(value).encode()),
)
PATHS = st.one_of(
    st.sampled_from([route.path for route in ROUTES]),
    st.sampled_from(
        [
            "/settings/fusion",
            "/settings/capture",
            "/settings/publish",
            "/settings/preview",
            "/settings/runtime",
            "/settings/control",
            "/stills/x",
        ]
    ),
    st.text(string.printable, max_size=30).map(lambda text: f"/{text}"),
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"])


class Line:
    """A lifeline whose supervisor says yes to everything."""

    stopping = False

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.link: GateLink | None = None

    def commands(self) -> list[Command]:
        body = {"values": LiveState(Config()).snapshot()["values"], "revision": 2, "changed": {}}
        answers = [Command(0, "answer", {"ask": one["ask"], "status": 200, "body": body}) for one in self.asked[-1:]]
        return [*answers, Command(0, "live", LiveState(Config()).snapshot())]

    def ask(self, **values: Any) -> None:
        self.asked.append(values)
        assert self.link is not None
        asyncio.get_running_loop().call_soon(self.link.take_in)


def answered(request: Request) -> tuple[Outcome, list[dict[str, Any]]]:
    async def ask() -> Outcome:
        line = Line()
        line.link = GateLink(line)  # type: ignore[arg-type]
        line.link.take_in()
        lines.append(line)
        return await asyncio.wait_for(Api(line.link).answer(request), 10)

    lines: list[Line] = []
    return asyncio.run(ask()), lines[0].asked


@settings(max_examples=150, deadline=None)
@given(METHODS, PATHS, BODIES, st.none() | st.text(max_size=20), st.sampled_from(["view", "control"]))
def test_whatever_is_sent_is_answered(method: str, path: str, body: bytes, if_match: str | None, role: str) -> None:
    if path == "/events" and b"wait_s" in body:
        return  # it would be waited for
    outcome, asked = answered(Request(method, path, body, if_match, role, "tester"))  # type: ignore[arg-type]
    assert 200 <= outcome.status < 600
    json.dumps(outcome.body)
    if outcome.refused:
        assert outcome.body["status"] == outcome.status
        assert outcome.body["detail"]
        assert not asked
    if role == "view":
        assert not asked
    for one in asked:
        assert one["do"] in {"change", "save", "revert", "hold", "auto", "restart", "still", "record", "stop_recording"}
        if one["do"] == "change":
            check_change(one["table"], one["change"])  # raises if it was not checked
            assert {f"{one['table']}.{name}" for name in one["change"]} <= LIVE_KEYS.keys()


@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_through_the_socket_is_a_request_or_refused(body: bytes) -> None:
    request = parsed(body)
    if isinstance(request, Outcome):
        assert request.status == 422
    else:
        assert answered(Request("GET", "/nothing", request.body))[0].status in (404, 413)


def test_a_message_that_is_a_request_becomes_one() -> None:
    body = b'{"method": "PATCH", "path": "/settings/fusion", "body": {"gamma": 0.8}, "if_match": 3, "client": "me"}'
    request = parsed(body, Sender("view", "with key laptop", True))
    assert request == Request(
        "PATCH", "/settings/fusion", b'{"gamma": 0.8}', "3", "view", "me with key laptop", encrypted=True
    )


@pytest.mark.parametrize("text", ["12", '"12"', 'W/"12"', " 12 "])
def test_revisions_are_read_as_browsers_and_people_write_them(text: str) -> None:
    _, asked = answered(Request("PATCH", "/settings/fusion", b'{"gamma": 0.8}', text, "control"))
    assert asked[0]["if_match"] == 12


def test_a_body_that_is_too_large_or_too_deep_is_refused() -> None:
    assert answered(Request("PATCH", "/settings/fusion", b" " * 70000, None, "control"))[0].status == 413
    assert answered(Request("PATCH", "/settings/fusion", b"[" * 60000, None, "control"))[0].status == 422


def test_without_a_pipeline_everything_that_changes_something_is_refused() -> None:
    async def ask(route: Any) -> Outcome:
        path = route.path.replace("{table}", "fusion").replace("{id}", "x").replace("{file}", "x")
        bodies = {"/restart": b'{"process": "gate"}', "/recording": b'{"name": "x"}'}
        body = bodies.get(path, b"") if route.method != "DELETE" else b""
        return await Api(GateLink(None)).answer(Request(route.method, path, body, None, "control"))

    for route in ROUTES:
        if route.role == "control":
            assert asyncio.run(ask(route)).status == 409, route
