"""OpenTelemetry's spans and metrics of a gateway's calls, read where an exporter would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.gateway.put import ASK, STREAM, Put, key
from tests.serve.gateway.running import answer

pytest.importorskip("opentelemetry.sdk", reason="the otel extra is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from centime.errors import UserError
from centime.serve import telemetry
from centime.serve.telemetry.spans import Spans, otlp_spans

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    """The points of each metric."""
    data = reader.get_metrics_data()
    assert data is not None
    metrics = [one for resource in data.resource_metrics for scope in resource.scope_metrics for one in scope.metrics]
    return {one.name: list(one.data.data_points) for one in metrics}


def test_calls_of_a_model_with_what_they_cost(put: Callable[..., Put]) -> None:
    kept, reader, traces = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(kept))
    spans = Spans(traces, MeterProvider([reader]))
    made = put(lambda body: STREAM if body.get("stream") else answer("Hello", 100, 2, 60), observers=[spans])
    alice = key(made, place="acme/research")
    made.post(ASK, **alice, traceparent=f"00-{TRACE}-{PARENT}-01")
    made.post(ASK | {"stream": True}, **alice, **{"x-centime-tags": "session=s1"})
    made.post(ASK)  # without a key
    made.client.get("/v1/models", headers=alice)
    made.served()
    one, stream, refused = kept.get_finished_spans()
    assert (one.name, one.kind, one.status.is_ok) == ("chat org/m", SpanKind.CLIENT, True)
    assert one.parent is not None
    assert (f"{one.parent.trace_id:x}", f"{one.parent.span_id:016x}") == (TRACE, PARENT)
    found = dict(one.attributes or {})
    assert found.pop("centime.machine.seconds") > 0
    assert found.pop("centime.machine.cost") > 0
    assert found.pop("centime.request_id")
    assert found == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "vllm", "gen_ai.request.model": "org/m",
        "gen_ai.response.model": "org/m", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.response.finish_reasons": ("end",),
        "gen_ai.usage.cost": 0.000146, "centime.price": 0.000146, "centime.currency": "USD",
        "centime.price_list": "1,2,3", "centime.machine.currency": "USD", "centime.key": "alice",
        "centime.place": "acme/research", "centime.upstream": "m", "http.response.status_code": 200,
    }  # fmt: skip
    assert stream.attributes is not None
    assert stream.attributes["gen_ai.conversation.id"] == "s1"
    assert stream.end_time is not None
    assert stream.start_time is not None
    assert stream.end_time > stream.start_time
    assert (refused.status.is_ok, (refused.attributes or {})["error.type"]) == (False, "invalid_api_key")
    told = points(reader)
    assert sorted(point.sum for point in told["gen_ai.client.token.usage"]) == [4, 200]
    assert sum(point.count for point in told["gen_ai.server.request.duration"]) == 3
    assert [point.count for point in told["gen_ai.server.time_to_first_token"]] == [1]
    assert [point.value for point in told["centime.price"]] == [pytest.approx(0.000292)]
    assert [point.value > 0 for point in told["centime.machine.cost"]] == [True]


def test_a_server_without_spans_does_not_import_what_makes_them() -> None:
    rooms = Path(telemetry.__path__[0]).glob("*.py")
    tops = [line for path in rooms for line in path.read_text(encoding="utf-8").splitlines() if line[:1] in "fi"]
    assert [line for line in tops if "opentelemetry" in line] == []
    assert any("exchange" in line for line in tops)


def test_without_the_exporter_the_option_says_what_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(UserError, match=r"--otel needs OpenTelemetry; add it with: .*otel"):
        otlp_spans()
