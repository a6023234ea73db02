"""Records on the link between capture and fusion."""

from __future__ import annotations

import json

from hypothesis import given

from livemef.capture.frame import FrameRecord
from livemef.capture.transport.record_row import record_from_row, record_to_row
from tests.capture.files.test_recording import records


@given(record=records)
def test_records_pass_through_json_unchanged(record: FrameRecord) -> None:
    found = record_from_row(json.loads(json.dumps(record_to_row(record))))
    assert found == record
    assert [type(getattr(found, name)) for name in FrameRecord.__slots__] == [
        type(getattr(record, name)) for name in FrameRecord.__slots__
    ]
