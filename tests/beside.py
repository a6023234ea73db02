"""All tests, several beside each other. A file in which one fails is run once more, alone; what passes then is named.
`python -m tests.beside JOBS [PATH...]`; the exit code is 0 if all passed in the end.

Whole files, since the tests of a file may share a session that the first of them begins.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "beside"
NAMES = KEPT / "passed-alone.txt"
MOST_FILES = 8
TESTS_FAILED = 1
"""pytest's exit code; all others (no tests, wrong arguments, an error of its own) are no test's failure."""
HEADLINE = "FAILED BESIDE OTHERS, PASSED ALONE (to be looked at, it may be a race in livemef):"


def files_again(code: int, failed: Iterable[str]) -> list[str]:
    """Files to run once more after pytest's exit code and the failed tests' names; none if that would not help: what
    fails in many files is no matter of time.
    """
    files = sorted({name.partition("::")[0] for name in failed})
    return files if code == TESTS_FAILED and len(files) <= MOST_FILES else []


def run(jobs: int, paths: list[str], root: Path = ROOT, kept: Path = KEPT) -> int:
    """Exit code. root: the folder whose tests are run. kept: a folder for what pytest notes down; it is emptied."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    pytest = [sys.executable, "-m", "pytest", "-o", f"cache_dir={kept / 'cache'}"]
    code = subprocess.run([*pytest, "-n", str(jobs), "--dist", "loadfile", *paths], cwd=root).returncode
    if code == 0:
        return 0
    noted = kept / "cache" / "v" / "cache" / "lastfailed"
    failed = sorted(json.loads(noted.read_text(encoding="utf-8"))) if noted.is_file() else []
    files = files_again(code, failed)
    if not files:
        return code
    print(f"beside: once more, alone: {' '.join(files)}", flush=True)
    code = subprocess.run([*pytest, *files], cwd=root).returncode
    if code == 0:
        (kept / NAMES.name).write_text("".join(f"  {name}\n" for name in failed), encoding="utf-8")
        print(HEADLINE, *failed, sep="\n  ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
