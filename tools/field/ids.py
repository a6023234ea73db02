"""Object ids: what a scanner or a keyboard gave, and the name of the folder that the object gets."""

from __future__ import annotations

import re
from collections.abc import Iterable

from livemef.tools.exits import UserError

LONGEST_BYTES = 100
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows, and so an exFAT disk that is carried there, does not allow."""


def checked_id(text: str, pattern: str) -> str:
    """The id without blanks around it. Raises UserError for one that does not match or could not be a file name."""
    found = text.strip()
    if not found or not found.isprintable():
        raise UserError(f"object id {found!r}: is empty or holds control characters: scan or type it again")
    if re.fullmatch(pattern, found) is None:
        raise UserError(f'object id {found}: does not match the project\'s pattern "{pattern}"')
    name = folder_name(found)
    if len(name.encode()) > LONGEST_BYTES:
        raise UserError(f"object id {found}: longer than {LONGEST_BYTES} bytes")
    if name.startswith((".", "-")) or name.endswith(".") or _RESERVED.fullmatch(name):
        raise UserError(f"object id {found}: cannot be the name of a folder on every disk; choose another")
    return found


def folder_name(object_id: str) -> str:
    """The id with everything but letters, digits, dot, dash and underscore of ASCII replaced by an underscore."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", object_id)


def next_name(object_id: str, taken: Iterable[str], retake: bool, part: str = "") -> str:
    """The folder for a new take of an object: its name, or NAME.r2, NAME.r3, ... for retakes.

    taken: folders that are there. part: which part of the object, as its name ends. Upper and lower case
    count as the same, as on the disks of cameras. Raises UserError if the object is there and this is no retake.
    """
    name, lower = folder_name(object_id) + part, {folder.lower() for folder in taken}
    if name.lower() not in lower:
        return name
    if not retake:
        raise UserError(f"object {object_id}: is there already; a retake? say :r and scan it again")
    number = 2
    while f"{name}.r{number}".lower() in lower:
        number += 1
    return f"{name}.r{number}"
