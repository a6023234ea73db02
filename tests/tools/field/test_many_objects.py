"""Five hundred objects in a row: memory stays level, every bag is valid, every one is in the ledger."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from livemef.tools.field.bag import bag_problem
from livemef.tools.field.ledger import read_ledger
from tests.tools.command import ROOT
from tests.tools.field.session_rig import make_project

OBJECTS = 500
FIRST = 100
GROWTH_MB = 40
LIMIT_S = 3000


def memory_mb(pid: int) -> float:
    """Private memory of a process, MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")) / 1024


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S)
def test_five_hundred_objects_in_a_row(tmp_path: Path) -> None:
    camera = "sim://?scene=target&motion=0&size=320x180&fps=60"
    project = make_project(tmp_path / "museum", camera=camera, exposures="1ms,4ms,15ms", before_first=False, frames=1)
    command = [sys.executable, "-m", "livemef", "shoot", "open", str(project), "--json", "--no-preview"]
    errors = (tmp_path / "errors.txt").open("w+")
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    memory: list[float] = []
    seconds: list[float] = []
    session = Path(json.loads(process.stdout.readline())["session"])
    while len(seconds) < OBJECTS:
        process.stdin.write(f"KR-{len(seconds):04d}\n")
        while (event := json.loads(process.stdout.readline()))["event"] != "stored":
            assert event["event"] == "clock", (event, (tmp_path / "errors.txt").read_text())
        seconds.append(event["seconds"])
        if len(seconds) % 20 == 0:
            memory.append(memory_mb(process.pid))
    out, _ = process.communicate(timeout=120)
    print(f"memory every 20 objects, MB: {[round(value) for value in memory]}")
    print(f"seconds an object, first and last fifty: {sum(seconds[:50]) / 50:.2f}, {sum(seconds[-50:]) / 50:.2f}")
    assert json.loads(out.splitlines()[-1])["objects"] == OBJECTS
    assert max(memory[FIRST // 20 :]) - memory[FIRST // 20 - 1] < GROWTH_MB
    bags = sorted((session / "objects").iterdir())
    assert len(bags) == OBJECTS
    assert [problem for bag in bags if (problem := bag_problem(bag))] == []
    assert len([event for event in read_ledger(session / "session.jsonl") if event["event"] == "stored"]) == OBJECTS
