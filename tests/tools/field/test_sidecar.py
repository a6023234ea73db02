"""The sidecar's schema: kept as a file and as a page, made from the code, and true of real sidecars."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import livemef.tools.field
from livemef.tools.field.sidecar import keys, schema, sidecar_problem

KEPT = Path(livemef.tools.field.__file__).with_name("sidecar.schema.json")
PAGE = Path(__file__).parents[3] / "docs" / "sidecar.md"
BEGIN, END = "<!-- made from the code -->\n", "<!-- end -->\n"


def table() -> str:
    rows = [f"| `{name}` | {words} |\n" for name, words in keys()]
    return f"{BEGIN}| key | what it is |\n|---|---|\n{''.join(rows)}{END}"


def test_file_and_page_are_made_from_the_code() -> None:
    """If a change is meant: KEPT=1 pytest tests/tools/field/test_sidecar.py writes them."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    if os.environ.get("KEPT"):
        KEPT.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(before + table() + after, encoding="utf-8")
        text = PAGE.read_text(encoding="utf-8")
    assert json.loads(KEPT.read_text(encoding="utf-8")) == json.loads(json.dumps(schema()))
    assert table() in text


def written_keys(value: Any, before: str = "") -> set[str]:
    found = set()
    for name, inner in value.items():
        rows = inner if isinstance(inner, list) else [inner]
        path = f"{before}{name}{'[]' if isinstance(inner, list) else ''}"
        found.add(path)
        for row in rows:
            if isinstance(row, dict) and path != "fusion.settings":
                found |= written_keys(row, f"{path}.")
    return found


def agrees(bag: Path) -> None:
    """The sidecar is as the schema says, by another program too, and no key of it is without a description."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    sidecar = json.loads((bag / "data" / f"{bag.name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(json.loads(KEPT.read_text(encoding="utf-8")))
    jsonschema.validate(sidecar, json.loads(KEPT.read_text(encoding="utf-8")), jsonschema.Draft202012Validator)
    assert sidecar_problem(bag) == ""
    known = {name for name, _ in keys()}
    assert written_keys(sidecar) == {name for name in known if sidecar["codes"] or not name.startswith("codes[].")}


def test_the_sidecar_of_an_imported_object(project: Path) -> None:
    (bag,) = project.glob("*-import/objects/KR-9")
    agrees(bag)


def test_what_is_no_sidecar_is_named(project: Path, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    (bag,) = project.glob("*-import/objects/KR-9")
    good = json.loads((bag / "data" / "KR-9.json").read_text(encoding="utf-8"))
    path = tmp_path / "KR-9" / "data" / "KR-9.json"
    path.parent.mkdir(parents=True)
    assert "KR-9.json" in sidecar_problem(path.parents[1])
    for change, says in (
        ({"version": 2}, "version"),
        ({"part": 0}, "part"),
        ({"checks": good["checks"] | {"changed": 1.5}}, "checks.changed"),
        ({"camera": {"uri": "x"}}, "camera.name"),
        ({"files": good["files"] | {"source": "one.tif"}}, "files.source"),
        ({"profile_sha256": "c0ffee"}, "profile_sha256"),
    ):
        path.write_text(json.dumps(good | change), encoding="utf-8")
        assert says in sidecar_problem(path.parents[1])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | change, schema())
    for text in ("", "[]", "{", "\x00"):
        path.write_text(text)
        assert "KR-9.json" in sidecar_problem(path.parents[1])
    path.write_text(json.dumps(good | {"codes": []}), encoding="utf-8")
    assert sidecar_problem(path.parents[1]) == ""  # of a later version
