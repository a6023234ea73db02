"""Frame records as short rows of plain JSON values, for the link between two processes of one version.

Values by place and unchecked: names and checks (see `frame_json`) cost .2 ms a frame where caches are cold, as they are
after a picture has gone through them. What comes from elsewhere, recordings for instance, is read by `frame_json`.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import Any

from livemef.capture.frame import Exposure, FrameFlag, FrameRecord, LabelSource

_NAMES = [field.name for field in dataclasses.fields(FrameRecord)]
_VALUES = attrgetter(*_NAMES)
_MEASURED, _REQUESTED = _NAMES.index("measured"), _NAMES.index("requested")
_LABEL_SOURCE, _FLAGS = _NAMES.index("label_source"), _NAMES.index("flags")
_LABEL_SOURCES = {source.value: source for source in LabelSource}


def record_to_row(record: FrameRecord) -> list[Any]:
    """The record's fields in their order."""
    row = list(_VALUES(record))
    for place in (_MEASURED, _REQUESTED):
        if row[place] is not None:
            row[place] = row[place].exposure_us, row[place].gain
    row[_LABEL_SOURCE], row[_FLAGS] = row[_LABEL_SOURCE].value, row[_FLAGS].value
    return row


def record_from_row(row: list[Any]) -> FrameRecord:
    """The inverse of record_to_row, also after JSON. `row` is changed."""
    for place in (_MEASURED, _REQUESTED):
        if row[place] is not None:
            row[place] = Exposure(*row[place])
    row[_LABEL_SOURCE], row[_FLAGS] = _LABEL_SOURCES[row[_LABEL_SOURCE]], FrameFlag(row[_FLAGS])
    return FrameRecord(*row)
