import shutil
import subprocess
import sys
from pathlib import Path

from tests.gpu_tools import lacking

ROOT = Path(__file__).parents[1]


def test_the_dockerfile_for_the_jetson_is_clean():
    beside_python = Path(sys.executable).parent
    hadolint = shutil.which("hadolint", path=str(beside_python)) or shutil.which("hadolint")
    if hadolint is None:
        lacking("no hadolint: the Dockerfile is not linted")
    done = subprocess.run([hadolint, ROOT / "Dockerfile.jetson"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
