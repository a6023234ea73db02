"""Codes in a picture (QR, Data Matrix, Code 128 and others), by which an object's id is read or checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from livemef.capture.files.image_io import to_8_bit
from livemef.capture.frame import Pixels
from livemef.tools.exits import UserError


@dataclass(frozen=True)
class Code:
    """A code that was read: its kind, such as "QR Code", and its text."""

    format: str
    text: str


def refuse_without_reader() -> None:
    """Raise UserError where the reader is not installed."""
    try:
        import zxingcpp  # noqa: F401
    except ImportError:
        raise UserError("reading codes in the picture needs pip install 'livemef[codes]'") from None


def read_codes(pictures: Iterable[Pixels]) -> tuple[Code, ...]:
    """The codes in pictures of one scene (BGR, uint8 or uint16), each once: what one exposure clips another shows."""
    import zxingcpp

    found = (code for pixels in pictures for code in zxingcpp.read_barcodes(to_8_bit(pixels)))
    return tuple(dict.fromkeys(Code(str(code.format), code.text) for code in found if code.valid and code.text))


def ids_in(codes: Sequence[Code], pattern: str) -> tuple[str, ...]:
    """The texts that can be an object's id, each once."""
    texts = (" ".join(code.text.split()) for code in codes)
    return tuple(dict.fromkeys(text for text in texts if text and re.fullmatch(pattern, text)))


def id_of(codes: Sequence[Code], pattern: str) -> str:
    """The one id in the picture. Raises UserError if there is none, or more than one."""
    found = ids_in(codes, pattern)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{len(found)} codes in the picture could be the object's id ({', '.join(found)}): give its id")
    if codes:
        raise UserError(
            f"the code in the picture, {codes[0].text[:100]}, does not match {pattern}: give the object's id"
        )
    raise UserError("there is no code in the picture that can be read: give the object's id")


def contradiction(object_id: str, codes: Sequence[Code], pattern: str) -> str:
    """How the picture's codes contradict an id, in words; "" = they do not, or there are none that could."""
    found = ids_in(codes, pattern)
    if not found or object_id in found:
        return ""
    return (
        f"the code in the picture says {' and '.join(found)}, not {object_id}; to keep {object_id}, give it once more"
    )
