"""Keys of machines that exchange pictures: who may receive (authorized_keys), and who is believed (known_hosts).

The exchange is CURVE's, which is ZeroMQ's own (CurveZMQ, RFC 26: Curve25519); the files are as ssh has them. A key is
written in base64url, 43 characters without blanks or quotes, since CURVE's usual Z85 holds characters of shells.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq

from livemef.capture.files.small_file import read_small_file
from livemef.fusion.errors import FusionError

KIND = "livemef-key"
MAY_CONTROL = "may-control"
"""Last word of a line of authorized_keys whose owner may also control."""
KEY_BYTES = 32
LIMIT_BYTES = 1 << 20
_NAME = re.compile(r"[\w.@-]{1,64}")
_HOST = re.compile(r"[\w.:\[\]%-]{1,255}")


def default_folder() -> Path:
    """Where this user's keys are: `keys` in the user's configuration folder of livemef."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "livemef" / "keys"


@dataclass(frozen=True)
class PublicKey:
    """A public key (32 bytes) and the name that its owner gave it."""

    key: bytes
    name: str

    def __str__(self) -> str:
        return f"{KIND} {encode_key(self.key)} {self.name}"


@dataclass(frozen=True)
class OwnKey:
    """This machine's pair of keys, 32 bytes each."""

    public: PublicKey
    secret: bytes


def encode_key(key: bytes) -> str:
    """32 bytes as 43 characters."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def decode_key(text: str) -> bytes:
    """The 32 bytes of 43 characters. Raises ValueError."""
    key = base64.b64decode(text.encode("ascii") + b"=", altchars=b"-_", validate=True)
    if len(key) != KEY_BYTES or encode_key(key) != text:
        raise ValueError("a key has 43 characters")
    return key


def parse_public(text: str) -> PublicKey:
    """A key as `livemef keys` prints it: "livemef-key KEY NAME". Raises FusionError."""
    parts = text.split()
    try:
        if len(parts) != 3 or parts[0] != KIND or _NAME.fullmatch(parts[2]) is None:
            raise ValueError
        return PublicKey(decode_key(parts[1]), parts[2])
    except ValueError:
        raise FusionError(
            f'"{text.strip()[:80]}" is no key: a line "{KIND} KEY NAME" is needed, as livemef keys show prints it'
        ) from None


@dataclass(frozen=True)
class Grant:
    """What the owner of a key may do: receive, and with `may_control` also change the settings of a run."""

    key: PublicKey
    may_control: bool = False

    def __str__(self) -> str:
        return f"{self.key} {MAY_CONTROL}" if self.may_control else str(self.key)


def parse_grant(line: str) -> Grant:
    """A line of authorized_keys: a public key, and "may-control" after it or not. Raises FusionError."""
    text = line.strip()
    may_control = text.endswith(f" {MAY_CONTROL}") and len(text.split()) == 4
    return Grant(parse_public(text.removesuffix(f" {MAY_CONTROL}") if may_control else text), may_control)


class KeyFolder:
    """The files of one user's keys. Nothing is read before it is asked for, and then anew each time."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder

    def create(self, name: str) -> OwnKey:
        """Make this machine's keys. Raises FusionError if there are some, or they cannot be written."""
        if self.own() is not None:
            raise FusionError(
                f"{self.folder}/id.key: is there already; a new key would lock out all who know the old one"
            )
        public, secret = (decode_z85(part) for part in zmq.curve_keypair())
        own = OwnKey(parse_public(f"{KIND} {encode_key(public)} {name}"), secret)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            _write(self.folder / "id.pub", f"{own.public}\n", 0o644)
            _write(self.folder / "id.key", f"{encode_key(secret)}\n", 0o600)
        except OSError as error:
            raise FusionError(f"{self.folder}: cannot be written: {error.strerror}") from None
        return own

    def own(self) -> OwnKey | None:
        """This machine's keys; None if none were made. Raises FusionError for files that are damaged, or open to
        others.
        """
        path = self.folder / "id.key"
        text = _text(path)
        if text is None:
            return None
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise FusionError(f"{path}: others may read it: chmod 600 {path}")
        public = _text(self.folder / "id.pub")
        try:
            return OwnKey(parse_public(public or ""), decode_key(text.strip()))
        except (ValueError, FusionError):
            raise FusionError(
                f"{self.folder}: id.key or id.pub is damaged; remove both and run livemef keys new"
            ) from None

    def grants(self) -> list[Grant]:
        """The keys that may receive, and which of them may also control. Raises FusionError for a line that is none."""
        return [parse_grant(line) for line in _lines(self.folder / "authorized_keys")]

    def grant_of(self, key: bytes) -> Grant | None:
        """What the owner of a key (32 bytes) may do; None = nothing. Raises FusionError."""
        return next((grant for grant in self.grants() if grant.key.key == key), None)

    def allowed(self) -> list[PublicKey]:
        """The keys that may receive. Raises FusionError for a line that is no key."""
        return [grant.key for grant in self.grants()]

    def allow(self, key: PublicKey, may_control: bool = False) -> None:
        """Let the owner of a key receive, and control or not, from now on. Replaces what it was allowed before. Raises
        FusionError.
        """
        others = [grant for grant in self.grants() if grant.key.key != key.key]
        self._replace("authorized_keys", [str(grant) for grant in (*others, Grant(key, may_control))])

    def forbid(self, name: str) -> int:
        """Take back all keys of a name (or a key's own text); returns how many. Connections that are open stay."""
        before = self.grants()
        left = [grant for grant in before if name not in (grant.key.name, encode_key(grant.key.key))]
        self._replace("authorized_keys", [str(grant) for grant in left])
        return len(before) - len(left)

    def trust(self, host: str, key: PublicKey) -> None:
        """Believe that a publisher at HOST or HOST:PORT has this key. Raises FusionError."""
        if _HOST.fullmatch(host) is None:
            raise FusionError(f'"{host}" is no host: give HOST or HOST:PORT')
        others = [line for line in _lines(self.folder / "known_hosts") if line.split()[0] != host]
        self._replace("known_hosts", [*others, f"{host} {key}"])

    def key_of(self, host: str, port: str) -> PublicKey | None:
        """The key that a publisher at this host and port must have; None if nothing is known of it."""
        found = {line.split()[0]: line.split(maxsplit=1)[1] for line in _lines(self.folder / "known_hosts")}
        text = found.get(f"{host}:{port}") or found.get(host)
        return None if text is None else parse_public(text)

    def _replace(self, name: str, lines: list[str]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(self.folder / name, "".join(f"{line}\n" for line in lines), 0o600)
        except OSError as error:
            raise FusionError(f"{self.folder / name}: cannot be written: {error.strerror}") from None


def decode_z85(text: bytes) -> bytes:
    """Z85, as ZeroMQ writes keys, to bytes."""
    from zmq.utils import z85

    return bytes(z85.decode(text))


def _text(path: Path) -> str | None:
    """A small text file; None if there is none. Raises FusionError."""
    try:
        return read_small_file(path, LIMIT_BYTES).decode("ascii")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FusionError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FusionError(f"{path}: is not plain text") from None


def _lines(path: Path) -> list[str]:
    """The lines that hold something but a comment."""
    lines = [line.strip() for line in (_text(path) or "").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all, readable to whom `mode` says from the first moment on."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
