"""The documents: links lead somewhere, commands exist, the API reference is built without a warning."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import livemef
from livemef.tools.research.verbs import LAB_VERBS
from livemef.tools.verbs import VERBS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(place), f"{page.name}: {target}"


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES[2:]:
        assert page.name == "README.md" or f"({page.name})" in index, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_named_are_verbs(page: Path) -> None:
    verbs = {verb.name for verb in (*VERBS, *LAB_VERBS)}
    for verb in re.findall(
        r"(?:`|^ {4,})(?:\.venv/bin/)?livemef ([a-z][\w-]*)", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert verb in verbs, f"{page.name}: livemef {verb}"


def test_the_readme_names_every_verb() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for verb in (*VERBS, *LAB_VERBS):
        assert re.search(rf"`(livemef )?(lab )?{verb.name}\b", text), verb.name


def test_the_readmes_program_uses_public_names() -> None:
    for name in re.findall(r"\blivemef\.([A-Za-z_]\w*)\(", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert name in livemef.__all__


def test_the_printed_method_is_one() -> None:
    page = (ROOT / "docs" / "add-a-fusion-method.md").read_text(encoding="utf-8")
    printed = re.search(r" {3}```python\n( {3}\"\"\".*?)```", page, re.DOTALL)
    assert printed is not None
    names: dict[str, Any] = {}
    exec(textwrap.dedent(printed[1]), names)
    exposures = [np.full((16, 16, 3), code, np.uint8) for code in (20, 220)]
    np.testing.assert_array_equal(names["fuse"](exposures), np.full((16, 16, 3), 120, np.uint8))


def test_the_reference_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("pdoc")
    command = [sys.executable, "-W", "error", "-m", "pdoc", "livemef", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "livemef.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in livemef.__all__)
