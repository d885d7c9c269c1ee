"""Where a fault lies in what a client sent: names of branches and of validators are no part of it."""

from __future__ import annotations

from typing import Any

import pytest

from centime.serve.http.validation import _has, _number, _path


@pytest.mark.parametrize(
    ("problem", "body", "path"),
    [
        ({"loc": ("query", "n"), "type": "int_parsing", "input": "x"}, {}, ["n"]),
        ({"loc": ("path", "run", "id"), "type": "missing", "input": {}}, {}, ["run", "id"]),
        ({"loc": ("body", "a", 1), "type": "int_type", "input": "x"}, {"a": [1, "x"]}, ["a", 1]),
        ({"loc": ("body", "a", 2), "type": "int_type", "input": "y"}, {"a": [1, "x"]}, ["a"]),
        ({"loc": ("body", "a", "list[int]", 0), "type": "int_type", "input": "x"}, {"a": ["x"]}, ["a", 0]),
        ({"loc": ("body", "a", "b"), "type": "missing", "input": {}}, {"a": {}}, ["a", "b"]),
    ],
)
def test_a_path_is_of_what_the_client_sent(problem: Any, body: Any, path: list[str | int]) -> None:
    assert _path(problem, body) == path


@pytest.mark.parametrize(
    ("value", "part", "there"),
    [
        ([1, 2], 1, True),
        ([1, 2], 2, False),
        ([1], "0", False),
        ({"a": 1}, "a", True),
        ({}, "a", False),
        ("ab", 0, False),
    ],
)
def test_what_can_be_followed(value: Any, part: str | int, there: bool) -> None:
    assert _has(value, part) is there


def test_bounds_are_written_for_people() -> None:
    assert [_number(value) for value in (0.5, 2.0, 1e-6, 2_147_483_648, "a")] == [
        "0.5",
        "2",
        "1e-06",
        "2,147,483,648",
        "a",
    ]
