"""The API's description as a page: every route, object and field, what each may be, and where it leads."""

from __future__ import annotations

import html
import re
from typing import Annotated, Literal

import httpx
from fastapi import FastAPI
from pydantic import BaseModel, Field
from tests.serve.web.browser import serving

from centime.serve.pages.api_reference import add_description


class Inner(BaseModel):
    """What is inside."""

    word: Annotated[str, Field(min_length=2, max_length=9)]


class Outer(BaseModel):
    """What is <around>."""

    inner: Inner
    kind: Literal["a", "b"] = "a"
    some: Annotated[list[Inner | int], Field(min_length=1, max_length=3)] | None = None
    rate: Annotated[float, Field(gt=0, le=2, description="How fast.")] = 1
    count: Annotated[int, Field(ge=1, lt=5)] = 1


def described() -> FastAPI:
    app = FastAPI(title="The title", summary="the summary", docs_url=None)

    @app.post("/v1/chat/completions", tags=["Later"], description="Does it.")
    def does(body: Outer) -> Inner:
        return body.inner

    @app.get("/health", summary="Whether it is well.")
    def health() -> dict[str, int]:
        return {}

    add_description(app)
    return app


def rows(text: str) -> list[str]:
    """What a reader sees, a row of a table or a paragraph each."""
    cells = re.sub(r"</t[dh]>\s*<t[dh][^>]*>", " | ", text)
    lines = re.split(r"</(?:tr|p|h[1-6]|li|summary)>", cells)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", line)).split()) for line in lines]


def test_the_page_of_a_small_description() -> None:
    with serving(described()) as url:
        first, again = (httpx.get(f"{url}docs") for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.text == again.text
    assert "default-src 'none'" in first.headers["content-security-policy"]
    assert "<around>" not in first.text
    shown = rows(first.text)
    after = {name: shown[shown.index(name) + 1 :] for name in ("Information", "Inner", "Outer")}
    assert after["Information"][:2] == ["GET /health", "Whether it is well."]
    at = shown.index("POST /v1/chat/completions")
    assert shown[at + 1 : at + 4] == [
        "Also /chat/completions , /beta/chat/completions , /beta/v1/chat/completions",
        "Does it.",
        "Takes Outer .",
    ]
    assert "200 Successful Response Inner" in shown[at + 4]
    assert after["Inner"][:3] == [
        "What is inside.",
        "field | type | meaning",
        "word needed | string | at most 9 characters, at least 2 characters",
    ]
    assert after["Outer"][:7] == [
        "What is <around>.",
        "field | type | meaning",
        "inner needed | Inner |",
        "kind | 'a', 'b' |",
        "some | list of Inner , list of integer, null | at most 3 entries, at least 1 entries",
        "rate | number | How fast. at most 2.0, above 0.0",
        "count | integer | below 5.0, at least 1.0",
    ]
