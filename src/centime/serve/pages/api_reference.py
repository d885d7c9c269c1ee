"""`/docs`: the API's description as a page, written here from the same document as /openapi.json.

No script of others and nothing from elsewhere, so that it works without a network and under the page's content policy.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from centime.serve.http.paths import PATHS, paths_of
from centime.serve.pages.page import HEADERS

REFERENCE = "#/components/schemas/"


def add_description(app: FastAPI) -> None:
    """Adds the page to an app that was made with `docs_url=None`."""
    pages: list[str] = []

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        if not pages:  # the routes do not change
            pages.append(written(app.openapi()))
        return HTMLResponse(pages[0], headers=HEADERS)


def written(described: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    schemas = described.get("components", {}).get("schemas", {})
    operations = [
        _operation(path, method, one) for path, ways in described["paths"].items() for method, one in ways.items()
    ]
    operations.sort(key=lambda one: one["tag"])
    groups = [(tag, list(ones)) for tag, ones in itertools.groupby(operations, key=lambda one: one["tag"])]
    objects = [
        {"name": name, "note": one.get("description", ""), "fields": _fields(one)}
        for name, one in sorted(schemas.items())
        if one.get("properties")
    ]
    page: str = _template().render(info=described["info"], groups=groups, objects=objects)
    return page


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("centime.serve.pages", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("docs.html.jinja")


def _operation(path: str, method: str, one: dict[str, Any]) -> dict[str, Any]:
    kind = PATHS.get(path)
    sent = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return {
        "tag": (one.get("tags") or ["Information"])[0],
        "method": method.upper(),
        "path": path,
        "others": [other for other in paths_of(kind) if other != path] if kind else [],
        "note": one.get("description") or one.get("summary", ""),
        "takes": sent.get("$ref", "").removeprefix(REFERENCE),
        "answers": [
            (status, answer.get("description", ""), _links(answer)) for status, answer in one["responses"].items()
        ],
    }


def _links(answer: dict[str, Any]) -> list[str]:
    shapes = [content.get("schema", {}) for content in answer.get("content", {}).values()]
    return [shape["$ref"].removeprefix(REFERENCE) for shape in shapes if "$ref" in shape]


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    needed = schema.get("required", [])
    return [
        {
            "name": name,
            "needed": name in needed,
            "types": _types(one),
            "note": " ".join(filter(None, [one.get("description", ""), _limits(one)])),
        }
        for name, one in schema["properties"].items()
    ]


def _types(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """What a field may be, as (words, the object they link to)."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        return [(name, name)]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return list(dict.fromkeys(itertools.chain.from_iterable(map(_types, schema[several]))))
    if "const" in schema or "enum" in schema:
        return [(repr(value), "") for value in schema.get("enum", [schema.get("const")])]
    if schema.get("type") == "array":
        return [(f"list of {words}", link) for words, link in _types(schema.get("items", {}))]
    return [(str(schema.get("type", "any")), "")]


def _limits(schema: dict[str, Any]) -> str:
    """The range of a number, the length of a text or a list."""
    shapes = [schema, *schema.get("anyOf", [])]
    found = {name: value for shape in shapes for name, value in shape.items() if name in _LIMITS}
    return ", ".join(_LIMITS[name].format(value) for name, value in found.items())


_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} entries",
}
