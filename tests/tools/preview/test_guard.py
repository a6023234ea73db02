"""Who may do what: every route by role, host, origin, fetch site and content type."""

import itertools
import json

import pytest

from livemef.tools.preview.api import ROUTES
from livemef.tools.preview.field_api import FIELD_ROUTES
from livemef.tools.preview.guard import MOST_WRONG, WRONG_WITHIN_S, Guard, Refusal, Sent

VIEW, CONTROL = "v" * 43, "c" * 43
OURS = "127.0.0.1:8080"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def outcome(guard: Guard, sent: Sent, needed: str) -> int:
    """200 or the status of the refusal."""
    role = guard.role(sent)
    if isinstance(role, Refusal):
        return role.status
    refusal = guard.refusal(sent, role, needed)  # type: ignore[arg-type]
    return 200 if refusal is None else refusal.status


def wanted(
    method: str, needed: str, token: str | None, way: str, host: str, origin: str | None, site: str, kind: str | None
) -> int:
    """What docs/control.md says, for a page on loopback without a view token."""
    if host != OURS:
        return 403
    unsafe = method != "GET"
    if unsafe and (origin not in (None, f"http://{OURS}") or site not in ("same-origin", "none")):
        return 403
    if needed == "control" and token != CONTROL:
        return 401
    fits = kind == "application/json" or (kind is None and token == CONTROL and way == "bearer")
    return 415 if unsafe and not fits else 200


@pytest.mark.parametrize("route", [*ROUTES, *FIELD_ROUTES], ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("way", ["bearer", "cookie"])
def test_every_route_by_role_host_origin_site_and_content_type(route, way):
    hosts = (OURS, "evil.example", "192.168.1.2:8080")
    origins = (None, f"http://{OURS}", "http://evil.example", "http://127.0.0.1:3000", "null")
    sites = ("same-origin", "none", "same-site", "cross-site")
    kinds = ("application/json", "text/plain", "application/x-www-form-urlencoded", "", None)
    for token, host, origin, site, kind in itertools.product((None, CONTROL), hosts, origins, sites, kinds):
        headers = {"host": host, "sec-fetch-site": site}
        headers |= {} if kind is None else {"content-type": kind}
        headers |= {} if origin is None else {"origin": origin}
        headers |= {"authorization": f"Bearer {token}"} if token and way == "bearer" else {}
        sent = Sent(route.method, headers, token if way == "cookie" else None, address="127.0.0.1")
        expected = wanted(route.method, route.role, token, way, host, origin, site, kind)
        found = outcome(Guard("127.0.0.1", None, CONTROL), sent, route.role)
        assert found == expected, (token, host, origin, site, kind)


@pytest.mark.parametrize(
    ("token", "view", "control"), [(None, 401, 401), (VIEW, 200, 401), (CONTROL, 200, 200), ("x", 401, 401)]
)
def test_where_a_view_token_is_set_looking_needs_it_and_it_does_not_control(token, view, control):
    for way in ("bearer", "cookie", "query"):
        headers = {"host": "camera.example", "content-type": "application/json"}
        headers |= {"authorization": f"bearer {token}"} if token and way == "bearer" else {}
        cookie, query = (token if way == name else None for name in ("cookie", "query"))
        guard = Guard("127.0.0.1", VIEW, CONTROL)
        assert outcome(guard, Sent("GET", headers, cookie, query), "view") == view
        assert outcome(guard, Sent("PATCH", headers, cookie, query), "control") == control


def test_a_wrong_token_in_the_address_does_not_let_a_form_pass_that_has_our_cookie():
    sent = Sent("POST", {"host": OURS}, cookie=CONTROL, query_token="x")
    assert outcome(Guard("127.0.0.1", None, CONTROL), sent, "control") == 415
    assert (
        outcome(Guard("127.0.0.1", None, CONTROL), Sent("POST", {"host": OURS}, query_token=CONTROL), "control") == 200
    )


def test_off_loopback_nobody_controls_without_encryption_unless_told_otherwise():
    headers = {"host": "camera", "authorization": f"Bearer {CONTROL}", "content-type": "application/json"}
    sent = Sent("PATCH", headers)
    assert outcome(Guard("0.0.0.0", VIEW, CONTROL), sent, "control") == 403
    assert outcome(Guard("0.0.0.0", VIEW, CONTROL), Sent("GET", headers), "view") == 200
    assert outcome(Guard("0.0.0.0", VIEW, CONTROL, plain_control=True), sent, "control") == 200
    assert outcome(Guard("0.0.0.0", VIEW, CONTROL, encrypted=True), sent, "control") == 200


def test_without_a_pipeline_nobody_controls():
    headers = {"host": OURS, "authorization": "Bearer x", "content-type": "application/json"}
    assert outcome(Guard("127.0.0.1", None, None), Sent("PATCH", headers), "control") == 403


def test_websockets_are_opened_by_our_page_or_by_no_page():
    guard = Guard("127.0.0.1", None, CONTROL)
    upgrade = {"host": OURS, "upgrade": "WebSocket"}
    assert not guard.is_foreign(Sent("GET", upgrade))
    assert not guard.is_foreign(Sent("GET", upgrade | {"origin": f"http://{OURS}"}))
    assert guard.is_foreign(Sent("GET", upgrade | {"origin": "http://evil.example"}))
    assert guard.is_foreign(Sent("GET", upgrade | {"origin": "http://127.0.0.1:3000"}, cookie=CONTROL))
    assert not guard.is_foreign(Sent("GET", upgrade | {"origin": "http://evil.example"}, query_token=CONTROL))


def test_ten_wrong_tokens_shut_an_address_out_for_a_minute():
    clock = Clock()
    guard = Guard("127.0.0.1", VIEW, CONTROL, clock=clock)
    for number in range(MOST_WRONG):
        guess = {"host": OURS, "authorization": f"Bearer guess{number}"}
        assert outcome(guard, Sent("GET", guess, address="6.6.6.6"), "view") == 401
    right = {"host": OURS, "authorization": f"Bearer {VIEW}"}
    assert outcome(guard, Sent("GET", right, address="6.6.6.6"), "view") == 429
    assert outcome(guard, Sent("GET", right, address="7.7.7.7"), "view") == 200
    clock.now_s += WRONG_WITHIN_S + 1
    assert outcome(guard, Sent("GET", right, address="6.6.6.6"), "view") == 200


def test_a_browser_with_the_cookie_of_the_last_run_is_not_shut_out_but_one_that_guesses_is():
    guard = Guard("127.0.0.1", None, CONTROL)
    for _ in range(50):
        assert outcome(guard, Sent("GET", {"host": OURS}, cookie="of the last run"), "view") == 200
    for number in range(MOST_WRONG):
        outcome(guard, Sent("GET", {"host": OURS}, cookie=f"guess{number}"), "view")
    assert outcome(guard, Sent("GET", {"host": OURS}, cookie=CONTROL), "view") == 429


def test_what_is_sent_is_not_shown_again():
    guard = Guard("127.0.0.1", VIEW, CONTROL)
    role = guard.role(Sent("GET", {"host": OURS, "authorization": "Bearer sesame"}))
    assert isinstance(role, Refusal)
    assert "sesame" not in json.dumps(role.detail)
