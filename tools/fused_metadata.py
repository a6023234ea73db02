"""What `livemef fuse` writes into a picture beside its pixels: where it came from, and how it was made."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from livemef.capture.files.embedding import Embedded
from livemef.capture.files.output_profile import OutputProfile
from livemef.capture.files.source_metadata import kept_exif
from livemef.capture.files.tiff_directory import ASCII, EXIF_IFD, LONG, SHORT
from livemef.capture.files.xmp import XmpDescription, xmp_packet
from livemef.fusion.fuser import Fuser
from livemef.tools.exits import printable

_COMPOSITE, _COUNTS = 42080, 42081
_CAPTURED_IN_ONE = 3
"""EXIF 2.32: a composite of several frames of one scene."""


Checksums = Sequence[tuple[str, str]]
"""Name and SHA-256 of each file."""


def checksums(files: Sequence[Path]) -> Checksums:
    """Of the files as they are now."""
    return [(printable(file.name), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


def fused_metadata(
    files: Sequence[Path],
    sums: Checksums,
    fuser: Fuser,
    profile: OutputProfile,
    corrected: Sequence[str],
) -> Embedded:
    """For a picture fused from these files, dark to bright. corrected: what the camera's profile changed in them.

    No date and no random id is in it, so that the same pictures give the same file.
    """
    tool, fusion = f"livemef {version('livemef')}", json.dumps(fuser.settings.as_dict())
    exif = kept_exif(files)
    given = exif.get(EXIF_IFD, (LONG, {}))[1]
    inner = dict(given) if isinstance(given, dict) else {}
    inner |= {_COMPOSITE: (SHORT, _CAPTURED_IN_ONE), _COUNTS: (SHORT, [len(files), len(files)])}
    exif |= {305: (ASCII, tool), EXIF_IFD: (LONG, inner)}
    made_of = [tool, fusion, fuser.model_sha256, *(digest for _, digest in sums), *corrected]
    xmp = XmpDescription(
        identifier="",
        document_id=f"uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made_of))}",
        source="computationalCapture",
        tool=tool,
        ingredients=[(file, f"sha256:{digest}") for file, digest in sums],
        own={
            "fusion": fusion,
            "model": f"sha256:{fuser.model_sha256}",
            "corrected": ", ".join(corrected),
        },
    )
    return Embedded(profile.icc, exif, xmp_packet(xmp), profile.srgb)
