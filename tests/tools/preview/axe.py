"""axe-core, the accessibility checker, from npm: `python -m tests.tools.preview.axe` installs it into build/axe."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "build" / "axe"
SCRIPT = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
VERSION = "4.10"
LIMIT_S = 300
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def install() -> bool:
    """Whether it is there now. Needs npm and its registry; without them its tests are skipped by name."""
    if SCRIPT.is_file():
        return True
    npm = shutil.which("npm")
    if npm is None:
        print("axe-core is not installed: there is no npm")
        return False
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--no-save", f"axe-core@{VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"axe-core is not installed: npm took more than {LIMIT_S} s")
        return False
    if done.returncode:
        print(f"axe-core is not installed: {done.stderr.strip()[-300:]}")
    return SCRIPT.is_file()


def findings(browser) -> list[str]:
    """What axe-core finds wrong with the page as it is now, one line each."""
    browser.execute_script(SCRIPT.read_text(encoding="utf-8"))
    run = """
    const done = arguments[arguments.length - 1];
    axe.run(document, {runOnly: arguments[0]}).then(({violations, passes}) => done([
      passes.length,
      violations.flatMap(rule => rule.nodes.map(
        node => `${rule.impact} ${rule.id}: ${node.target} ${node.failureSummary}`)),
    ]));
    """
    passed, found = browser.execute_async_script(run, RULES)
    assert passed > 10, "axe looked at nothing"
    return found


if __name__ == "__main__":
    install()
