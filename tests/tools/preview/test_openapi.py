"""The OpenAPI document: kept as a file, made from the tables, and true of them."""

import json
from pathlib import Path

import pytest

from livemef.tools.config.live_keys import LIVE_KEYS, ChangeRefused, changed_config
from livemef.tools.config.schema import Config
from livemef.tools.preview.api import ROUTES
from livemef.tools.preview.crops import Box, crop_box
from livemef.tools.preview.openapi import document
from livemef.tools.run.outcome import Outcome

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


def test_what_is_no_json_is_said_to_be_none() -> None:
    paths = document()["paths"]
    answers = {path: list(paths[path]["get"]["responses"]["2XX"]["content"]) for path in paths if "get" in paths[path]}
    no_json = {path: kinds for path, kinds in answers.items() if kinds != ["application/json"]}
    assert no_json == {
        "/crop": ["image/png"],
        "/events": ["text/event-stream", "application/json"],
        "/stills/{id}/{file}": ["*/*"],
    }


def test_the_query_of_a_crop_is_what_is_taken() -> None:
    numbers = {
        one["name"]: one["schema"] for one in document()["paths"]["/crop"]["get"]["parameters"] if one["in"] == "query"
    }
    assert crop_box(
        {name: str(schema["default"]) for name, schema in numbers.items() if "default" in schema}
    ) == crop_box({})
    for name, schema in numbers.items():
        if "minimum" in schema:
            assert isinstance(crop_box({name: str(schema["minimum"])}), Box)
            assert isinstance(crop_box({name: str(schema["maximum"])}), Box)
            assert isinstance(crop_box({name: str(schema["maximum"] + 1)}), Outcome)


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
