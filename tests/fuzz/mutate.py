"""Changes a sound input into a hostile one: what a fuzzer without feedback does. Reproducible from its seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

TOKENS = (
    b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00",
    b"\xff\xff", b"\x00\x01", b"-1", b"0", b"1e999", b"NaN", b"9" * 400, b"null", b"true", b"[]", b"{}", b'""',
    b"\\u0000", b"\\ud800", b"[" * 64, b'{"a":' * 64, b"\n", b"=", b".", b"../", b"\xff\xd8", b"\xff\xd9", b"\xff\xda",
    b"IDAT", b"IEND", b"acTL", b"a.a.a.a.a.a", b"\x1f\x8b", b"inf", b"%s%n", b"\x80" * 16,
)  # fmt: skip
"""Where formats have their limits: lengths, numbers, ends, nesting."""


def mutated(seed: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """`seed` with one to six changes; `others` are inputs of the same kind to borrow from."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        chance.choice(_CHANGES)(data, others, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Headers come first: the beginning is hit as often as all the rest."""
    return chance.randrange(min(len(data), 64) + 1) if chance.random() < 0.5 else chance.randrange(len(data) + 1)


def _flip(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[min(_place(data, chance), len(data) - 1)] ^= 1 << chance.randrange(8)


def _set(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[min(_place(data, chance), len(data) - 1)] = chance.randrange(256)


def _cut(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 2, 4, 16, 256, len(data)))]


def _end(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _put(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at, token = _place(data, chance), chance.choice(TOKENS)
    data[at : at + chance.choice((0, len(token)))] = token


def _repeat(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    part = bytes(data[at : at + chance.choice((1, 4, 32, 512))])
    data[at:at] = part * chance.choice((1, 2, 16, 200))
    del data[1 << 20 :]


def _borrow(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(others)
    at, start = _place(data, chance), chance.randrange(len(other) + 1)
    length = chance.choice((4, 16, 64, 1024))
    data[at : at + chance.choice((0, length))] = other[start : start + length]


def _zero(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    length = min(len(data) - at, chance.choice((2, 16, 128, 4096)))
    data[at : at + length] = bytes(length)


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip, _flip, _set, _set, _cut, _end, _put, _put, _repeat, _borrow, _zero,
)  # fmt: skip
