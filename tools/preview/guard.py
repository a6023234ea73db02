"""Who may do what at the page's server: roles by token, and what keeps foreign pages out (docs/control.md)."""

from __future__ import annotations

import hmac
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from livemef.tools.preview.access import is_loopback, names_this_machine, same_origin

Role = Literal["view", "control"]
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MOST_WRONG, WRONG_WITHIN_S = 10, 60.0
MOST_ADDRESSES = 4096
"""Addresses whose wrong tokens are remembered."""


@dataclass(frozen=True)
class Sent:
    """What of a request matters here. Header names in lower case; cookie: the value of this server's; query_token: of
    `?token=`.
    """

    method: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cookie: str | None = None
    query_token: str | None = None
    address: str = ""

    @property
    def explicit_token(self) -> str | None:
        """The token that whoever wrote the request put into it: no foreign page knows it."""
        if self.query_token is not None:
            return self.query_token
        sent = self.headers.get("authorization", "")
        return sent[7:].strip() if sent[:7].lower() == "bearer " else None


@dataclass(frozen=True)
class Refusal:
    """A request that is not answered. status: 401, 403, 415 or 429."""

    status: int
    detail: str


class Guard:
    """host: where the server listens. view_token: None = who can reach this machine's loopback may look. control_token:
    None = nobody controls. plain_control: whether control is allowed without encryption, off loopback.
    """

    def __init__(
        self,
        host: str,
        view_token: str | None,
        control_token: str | None,
        *,
        encrypted: bool = False,
        plain_control: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view_token, self._control_token, self._clock = view_token, control_token, clock
        self._may_control = encrypted or plain_control or is_loopback(host)
        self._wrong: dict[str, deque[float]] = {}
        self._stale: dict[str, str] = {}

    def role(self, sent: Sent) -> Role | Refusal:
        """The role of who sent a request, or why it is refused. A wrong token counts against the address."""
        tokens = [token for token in (sent.explicit_token, sent.cookie) if token is not None]
        if tokens and self._is_blocked(sent.address):
            return Refusal(429, f"{MOST_WRONG} wrong tokens from this address: wait a minute")
        roles = {self._role_of(token) for token in tokens}
        if None in roles:
            self._note_wrong(sent)
        if self._view_token is None and not names_this_machine(sent.headers.get("host")):
            return Refusal(403, "open this page as http://127.0.0.1 or http://localhost")
        if "control" in roles:
            return "control"
        if "view" in roles or self._view_token is None:
            return "view"
        return Refusal(401, "this page needs its token: ?token=... or Authorization: Bearer ...")

    def refusal(self, sent: Sent, role: Role, needed: Role) -> Refusal | None:
        """Why somebody with this role may not do what needs the role `needed`; None = may."""
        if self.is_foreign(sent):
            return Refusal(403, "sent by a foreign page")
        if needed == "control" and role != "control":
            return Refusal(401 if self._control_token else 403, CONTROL_ADVICE)
        if needed == "control" and not self._may_control:
            return Refusal(
                403, "control without encryption is off: come through ssh -L, or say --insecure on the machine"
            )
        if sent.method not in SAFE_METHODS and not self._no_form_can_send(sent):
            return Refusal(415, "send Content-Type: application/json")
        return None

    def _no_form_can_send(self, sent: Sent) -> bool:
        """Whether a form of a foreign page, which a browser sends without asking us first, cannot be like this.

        A request without a body has no content type, as programs send it: the token in it tells it from a page's.
        """
        kind = sent.headers.get("content-type")
        if kind is None and sent.explicit_token is not None:
            return self._role_of(sent.explicit_token) == "control"
        return _is_json(kind or "")

    def is_foreign(self, sent: Sent) -> bool:
        """Whether a page of another site sent it, with this user's cookies or from this user's machine."""
        headers = sent.headers
        if sent.method in SAFE_METHODS and headers.get("upgrade", "").lower() != "websocket":
            return False
        if sent.method in SAFE_METHODS and sent.explicit_token is not None:
            return False
        ours = same_origin(headers.get("origin"), headers.get("host"), headers.get("x-forwarded-host"))
        return not ours or headers.get("sec-fetch-site", "none") not in ("same-origin", "none")

    def is_token(self, token: str) -> bool:
        """Whether it gives any role."""
        return self._role_of(token) is not None

    def _role_of(self, token: str) -> Role | None:
        control, view = self._control_token, self._view_token
        is_control = control is not None and hmac.compare_digest(token.encode("utf-8", "replace"), control.encode())
        is_view = view is not None and hmac.compare_digest(token.encode("utf-8", "replace"), view.encode())
        return "control" if is_control else "view" if is_view else None

    def _is_blocked(self, address: str) -> bool:
        wrong = self._wrong.get(address, deque())
        while wrong and self._clock() - wrong[0] > WRONG_WITHIN_S:
            wrong.popleft()
        return len(wrong) >= MOST_WRONG

    def _note_wrong(self, sent: Sent) -> None:
        """A browser sends a cookie of the last run again and again: the same one counts once."""
        explicit, cookie = sent.explicit_token, sent.cookie
        if explicit is None or self.is_token(explicit):
            if cookie is None or self._stale.get(sent.address) == cookie:
                return
            self._stale[sent.address] = cookie
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.clear()
            self._stale.clear()
        self._wrong.setdefault(sent.address, deque(maxlen=MOST_WRONG)).append(self._clock())


CONTROL_ADVICE = "changing something needs the control token: livemef ctl page, on the machine of the run, prints it"


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
