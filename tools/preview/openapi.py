"""The control API as an OpenAPI 3.1 document, made from its own tables."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from livemef.tools.config.live_keys import LIVE_KEYS, TABLES, LiveKey
from livemef.tools.preview.api import ROUTES, NoBody, Route
from livemef.tools.preview.field_api import FIELD_ROUTES

_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("key", "message", "allowed")},
            },
        },
    },
    "required": ["title", "status", "detail"],
}


@cache
def document() -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in (*ROUTES, *FIELD_ROUTES):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    schemas: dict[str, Any] = {f"settings_{table}": _settings(table) for table in TABLES}
    return {
        "openapi": "3.1.0",
        "info": {"title": "livemef control", "version": "1", "description": "See docs/control.md."},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas | {"problem": _PROBLEM},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "x-role": route.role,
        "responses": {
            "2XX": {"description": "done", "content": {kind: _content(kind) for kind in route.answers}},
            "default": {
                "description": "refused",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}},
            },
        },
    }
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters = [_parameter(name) for name in names]
    parameters += [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in route.query.items()]
    if parameters:
        operation["parameters"] = parameters
    schema = _body_schema(route)
    if schema is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _content(media_type: str) -> dict[str, Any]:
    """JSON is an object; what is no JSON has no schema."""
    return {"schema": {"type": "object"}} if media_type == "application/json" else {}


def _parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "table":
        schema["enum"] = list(TABLES)
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _body_schema(route: Route) -> dict[str, Any] | None:
    if route.body is None:
        return {"oneOf": [{"$ref": f"#/components/schemas/settings_{table}"} for table in TABLES]}
    return None if route.body is NoBody else route.body.model_json_schema()


def _settings(table: str) -> dict[str, Any]:
    keys = [key for name, key in LIVE_KEYS.items() if name.startswith(f"{table}.")]
    properties = {key.key.partition(".")[2]: _value(key) for key in keys}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(key: LiveKey) -> dict[str, Any]:
    described = key.described()
    about = {"description": described["help"], "default": described["default"]}
    if key.kind == "choice":
        return {"enum": described["words"], **about}
    if key.kind == "text":
        return {"type": "string", **about}
    kinds: list[dict[str, Any]] = [{"type": key.kind, "minimum": described["minimum"], "maximum": described["maximum"]}]
    if described["zero"]:
        kinds.append({"const": 0})
    if described["words"]:
        kinds.append({"enum": described["words"]})
    return {"anyOf": kinds, **about} if len(kinds) > 1 else kinds[0] | about
