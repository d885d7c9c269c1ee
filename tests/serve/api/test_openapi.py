"""schemathesis against the server's own description: whatever fits it or not, no answer of ours surprises."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from centime.serve.api.service import Service
from centime.serve.grammar.gate import grammar_spec

pytestmark = pytest.mark.slow

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/responses",
    "POST /anthropic/v1/messages",
    "POST /anthropic/v1/messages/count_tokens",
    "POST /tokenize",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "GET /user/balance",
    "GET /health",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def operations(url: str) -> dict[str, Any]:
    """Of the server's description: "POST /path" -> what schemathesis tries."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found = [one.ok() for one in schema.get_all_operations()]
    return {f"{operation.method.upper()} {operation.path}": operation for operation in found}


def test_every_operation_is_tried(operations: dict[str, Any]) -> None:
    """But for the administrator's, of whom there is none here: tests/serve/admin asks those."""
    assert sorted(name for name in operations if " /admin/" not in name) == sorted(OPERATIONS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "misfitting"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_it_answers_as_described(
    served: tuple[str, Service], operations: dict[str, Any], name: str, mode: GenerationMode
) -> None:
    _, serving = served
    serving.grammars.compile(grammar_spec("schema", {"type": "object"}))  # the first use imports xgrammar, for seconds
    operation = operations[name]
    if mode is GenerationMode.NEGATIVE and name.startswith("GET"):
        pytest.skip("nothing to get wrong")

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        body: Any = case.body
        if isinstance(body, dict):
            # Most names are no model's, and most answers would be long: with these the rest of the body gets its turn.
            if isinstance(body.get("model"), str):
                body["model"] = "small"
            for limit in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
                if body.get(limit) is None or isinstance(body[limit], int):
                    body[limit] = min(body.get(limit) or 4, 4)
        case.call_and_validate(checks=CHECKS, timeout=60)

    check()
