"""The OpenAPI document: kept as a file, made from the tables, and true of them."""

import json
from pathlib import Path

import pytest

from livemef.tools.config.live_keys import LIVE_KEYS, ChangeRefused, changed_config
from livemef.tools.config.schema import Config
from livemef.tools.preview.api import ROUTES
from livemef.tools.preview.openapi import document

KEPT = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_kept_document_is_the_present_one() -> None:
    """If the change is meant: KEPT=1 pytest tests/tools/preview/test_openapi.py writes it."""
    import os

    if os.environ.get("KEPT"):
        KEPT.write_text(json.dumps(document(), indent=1) + "\n", encoding="utf-8")
    assert json.loads(KEPT.read_text(encoding="utf-8")) == json.loads(json.dumps(document()))


def test_every_route_of_the_table_is_in_the_docs() -> None:
    text = (KEPT.parent / "control.md").read_text(encoding="utf-8")
    for route in ROUTES:
        path = route.path.replace("{table}", "fusion").replace("{id}", "ID").replace("{file}", "FILE")
        assert f"`{path}" in text or f"`{path.replace('fusion', 'TABLE')}" in text, route.path


@pytest.mark.parametrize("key", LIVE_KEYS)
def test_the_ranges_are_those_of_the_check(key: str) -> None:
    table, name = key.split(".")
    schema = document()["components"]["schemas"][f"settings_{table}"]["properties"][name]
    for kind in schema.get("anyOf", [schema]):
        for bound, beyond in (("minimum", -1e-7), ("maximum", 1)):
            if bound in kind:
                changed_config(Config(), table, {name: kind[bound]})
                with pytest.raises(ChangeRefused):
                    changed_config(Config(), table, {name: kind[bound] + beyond})
        for word in kind.get("enum", []):
            changed_config(Config(), table, {name: word})
