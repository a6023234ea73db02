"""The reader printed in docs/wire.md, run as printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from livemef.fusion.stream.header_text import header_json
from livemef.fusion.stream.publisher import Publisher
from livemef.fusion.stream.wire import decode
from tests.fusion.stream.stream_samples import header, ramp
from tests.fusion.stream.test_publisher import until
from tests.fusion.stream.test_wire import golden_parts

PAGE = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()


def printed_reader():
    return re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_printed_reader_reads(tmp_path, dtype):
    script = tmp_path / "reader.py"
    script.write_text(printed_reader())
    with Publisher(f"ipc://{tmp_path}/s") as publisher:
        command = [sys.executable, "-I", str(script), publisher.address]
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        try:
            until(lambda: publisher.wanted("fused") or reader.poll() is not None, 30)
            lines = []
            for seq in (4, 5, 8):
                publisher.publish("fused", header(seq), ramp(dtype, 30, 50))
                lines.append(reader.stdout.readline())
        finally:
            reader.kill()
            _, err = reader.communicate()
    name = np.dtype(dtype).name
    assert lines == [f"{seq} (30, 50, 3) {name} missed {lost}\n" for seq, lost in ((4, 0), (5, 0), (8, 2))], err


def test_the_printed_reader_is_short_and_its_own():
    lines = printed_reader().splitlines()
    assert len(lines) <= 24
    assert "livemef" not in printed_reader()


def test_every_field_is_in_the_table():
    described = json.loads(header_json(decode(golden_parts("wire_bgr8")).header))
    rows = set(re.findall(r"`(\w+)`", "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    assert set(described) <= rows
    assert set(described["sources"][0]) <= rows
    assert set(described["pipeline"]) <= rows


def test_the_printed_example_is_a_header():
    example = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1].replace("abab...", "ab" * 32))
    golden = json.loads(golden_parts("wire_bgr8")[1])
    golden["fusion"] = example["fusion"]
    assert example == golden
