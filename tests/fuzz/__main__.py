"""`make fuzz`: hostile inputs for every reader, each kind in a process of its own, for FUZZ_SECONDS in all.

Nothing may happen but the errors that the reader is meant to raise: no other exception, no end of the process, no input
that takes more than five seconds, no more than 1 GB. An input that breaks this is kept in build/fuzz and named at the
end, with exit code 1.

    make fuzz                                # an hour
    FUZZ_SECONDS=120 make fuzz
    python -m tests.fuzz wire onnx           # some of the kinds
    python -m tests.fuzz wire --input FILE   # one kept input again, with its traceback
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, Target

KEPT = Path("build/fuzz")
HANG_S = 5.0
MOST_MEMORY_KB = 1_000_000
HOUR_S = 3600.0
REPORT_S = 0.5


def work(name: str, seconds: float, seed: int) -> None:
    """In the child: read mutated inputs until the time is up; a JSON line every half a second."""
    target, chance = TARGETS[name], random.Random(seed)
    seeds = target.seeds()
    began = reported = time.monotonic()
    count = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        while (now := time.monotonic()) - began < seconds:
            if now - reported > REPORT_S:
                reported = now
                print(json.dumps({"count": count, "refused": refused}), flush=True)
            data = mutated(chance.choice(seeds), seeds, chance)
            (Path(folder) / "input").write_bytes(data)
            fault, refusal = judged(target, data, Path(folder))
            count, refused = count + 1, refused + refusal
            if fault:
                print(json.dumps({"fault": fault, "input": _kept(name, data)}), flush=True)
                if "memory" in fault:
                    break  # the peak of this process tells nothing more
    print(json.dumps({"count": count, "refused": refused}), flush=True)


def judged(target: Target, data: bytes, folder: Path) -> tuple[str, bool]:
    """What was wrong with how it was read ("" = nothing), and whether it was refused."""
    began, refused, fault = time.monotonic(), False, ""
    try:
        target.read(data, folder)
    except target.expected as error:
        refused = True
        fault = "an error of several lines" if "\n" in str(error) else ""
    except Exception as error:
        fault = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    spent_s = time.monotonic() - began
    if spent_s > HANG_S and not fault:
        fault = f"took {spent_s:.1f} s"
    memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if memory_kb > MOST_MEMORY_KB and not fault:
        fault = f"memory of {memory_kb // 1000} MB"
    return fault, refused


def _kept(name: str, data: bytes) -> str:
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{name}-{abs(hash(data)):016x}"
    path.write_bytes(data)
    return str(path)


def watch(name: str, seconds: float, seed: int) -> dict[str, object]:
    """Run a child for one kind of input, and again after an input that ended it. Counts, and what was wrong."""
    end = time.monotonic() + seconds
    total: dict[str, object] = {"count": 0, "refused": 0, "faults": []}
    while (left := end - time.monotonic()) > 0.5 and len(total["faults"]) < 20:  # type: ignore[arg-type]
        _one_life(name, left, seed, total)
        seed += 1
    return total


def _one_life(name: str, seconds: float, seed: int, total: dict[str, object]) -> None:
    faults: list[object] = total["faults"]  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TMPDIR": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.fuzz", name, "--child", str(seconds), "--seed", str(seed)]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        text, heard = b"", time.monotonic()
        while child.poll() is None:
            time.sleep(0.1)
            new = child.stdout.read() or b""
            text, heard = text + new, time.monotonic() if new else heard
            if time.monotonic() - heard > 6 * HANG_S:  # in native code, where no signal of Python's arrives
                child.kill()
        text += child.stdout.read() or b""
        lines = [json.loads(line) for line in text.splitlines() if line.startswith(b'{"') and line.endswith(b"}")]
        counts = [line for line in lines if "count" in line] or [{"count": 0, "refused": 0}]
        for key in ("count", "refused"):
            total[key] += counts[-1][key]  # type: ignore[operator]
        faults += [line for line in lines if "fault" in line]
        if child.returncode:
            inputs = list(Path(folder).glob("*/input"))
            kept = _kept(name, inputs[0].read_bytes()) if inputs else ""
            faults.append({"fault": f"the process ended with {child.returncode}", "input": kept})


def again(name: str, path: Path) -> int:
    """Read one kept input once more."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            TARGETS[name].read(path.read_bytes(), Path(folder))
        except TARGETS[name].expected as error:
            print(f"refused: {error}")
        except Exception:
            traceback.print_exc()
            return 1
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Hostile inputs for every reader.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--input", type=Path)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    kinds = given.kinds or list(TARGETS)
    for kind in kinds:
        if kind not in TARGETS:
            parser.error(f"{kind} is none of {', '.join(TARGETS)}")
    if given.child:
        work(kinds[0], given.child, given.seed)
        return 0
    if given.input:
        return again(kinds[0], given.input)
    seconds = float(os.environ.get("FUZZ_SECONDS", HOUR_S)) / len(kinds)
    print(f"fuzzing {', '.join(kinds)} for {seconds:.0f} s each, seed {given.seed}", flush=True)
    results = {}
    for kind in kinds:
        results[kind] = watch(kind, seconds, given.seed)
        print(json.dumps({"kind": kind} | results[kind]), flush=True)
    print(f"{sum(result['count'] for result in results.values())} inputs")  # type: ignore[misc]
    return 1 if any(result["faults"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
