"""OpenTelemetry: a GenAI span for every call of a model, and the metrics of the same conventions, each with its cost.

Names are those of OpenTelemetry's semantic conventions for generative AI (gen_ai.*, in development, as of 2026); what
they have no name for, money among it, stands under centime.*, and a call's price also as gen_ai.usage.cost, where
OpenLIT's tools look for it. No text of a request or an answer is sent. OpenTelemetry's own variables say where to
(OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, ...).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from centime.catalogue.tariffs import PICO
from centime.installation import needs
from centime.ledger.energy.use import NONE
from centime.serve.telemetry.exchange import Exchange

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

# What the conventions call each kind of request, by the end of its path.
OPERATIONS = {
    "chat/completions": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
# Seconds and tokens, as the conventions advise.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


class Spans:
    """Tells two providers of each call of a model; other requests are not told of."""

    bodies = False

    def __init__(self, traces: TracerProvider, metrics: MeterProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from centime import __version__

        self._providers = (traces, metrics)
        self._tracer = traces.get_tracer("centime", __version__)
        self._context = TraceContextTextMapPropagator()
        meter = metrics.get_meter("centime", __version__)

        def histogram(name: str, unit: str, what: str, bounds: tuple[float, ...]) -> Any:
            return meter.create_histogram(name, unit, what, explicit_bucket_boundaries_advisory=bounds)

        self._tokens = histogram("gen_ai.client.token.usage", "{token}", "Tokens of a call, by their type.", TOKENS)
        self._seconds = histogram("gen_ai.server.request.duration", "s", "From a call's arrival to its end.", SECONDS)
        self._first = histogram("gen_ai.server.time_to_first_token", "s", "To the first token of an answer.", FIRST)
        self._price = meter.create_counter("centime.price", "{currency}", "What price lists ask for calls.")
        self._cost = meter.create_counter("centime.machine.cost", "{currency}", "What the machine's time cost.")

    def over(self, exchange: Exchange) -> None:
        """A span and its metrics, where a model was called."""
        kind = next((OPERATIONS[end] for end in OPERATIONS if exchange.path.endswith("/" + end)), None)
        if kind is None or exchange.method != "POST":
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode

        about = dict(_about(exchange, kind))
        span = self._tracer.start_span(
            f"{kind} {exchange.tags.model}".rstrip(),
            context=self._context.extract(exchange.headers),
            kind=SpanKind.CLIENT if exchange.upstream else SpanKind.INTERNAL,
            attributes={**about, **dict(_money(exchange)), **dict(_said(exchange))},
            start_time=exchange.began_wall_ns,
        )
        if exchange.error:
            span.set_status(Status(StatusCode.ERROR, exchange.error))
        span.end(exchange.began_wall_ns + exchange.total_ns)
        self._count(exchange, about)

    def _count(self, exchange: Exchange, about: dict[str, Any]) -> None:
        names = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "error.type")
        labels = {name: about[name] for name in names if name in about}
        self._seconds.record(exchange.total_ns / 1e9, labels)
        usage, charge = exchange.usage, exchange.charge
        if usage is None:
            return
        self._tokens.record(usage.prompt_tokens, {**labels, "gen_ai.token.type": "input"})
        self._tokens.record(usage.output_tokens, {**labels, "gen_ai.token.type": "output"})
        if usage.first_token_ns:
            self._first.record(usage.first_token_ns / 1e9, labels)
        if charge is not None and charge.price_list:
            self._price.add(charge.list_price / PICO, {**labels, "centime.currency": charge.currency})
        if charge is not None and charge.machine_cost is not None:
            self._cost.add(charge.machine_cost / PICO, {**labels, "centime.currency": charge.machine_currency})

    def close(self) -> None:
        """What was not sent yet is."""
        for provider in self._providers:
            provider.shutdown()


def otlp_spans() -> Spans:
    """To an OTLP collector over HTTP. Raises UserError without the otel extra."""
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise needs("otel", "--otel", "OpenTelemetry") from None
    resource = Resource.create({"service.name": "centime"} | _named_service())
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource)
    return Spans(traces, metrics)


def _named_service() -> dict[str, str]:
    """A name given by OpenTelemetry's own variable goes before ours."""
    import os

    name = os.environ.get("OTEL_SERVICE_NAME", "")
    return {"service.name": name} if name else {}


def _about(exchange: Exchange, kind: str) -> Iterator[tuple[str, Any]]:
    """What the conventions have names for."""
    yield "gen_ai.operation.name", kind
    yield "gen_ai.provider.name", exchange.provider
    if exchange.tags.model:
        yield "gen_ai.request.model", exchange.tags.model
    if exchange.model:
        yield "gen_ai.response.model", exchange.model
    if exchange.tags.session:
        yield "gen_ai.conversation.id", exchange.tags.session
    if exchange.error:
        yield "error.type", exchange.error
    if exchange.usage is not None:
        yield "gen_ai.usage.input_tokens", exchange.usage.prompt_tokens
        yield "gen_ai.usage.output_tokens", exchange.usage.output_tokens
        yield "gen_ai.usage.cache_read.input_tokens", exchange.usage.hit_tokens
        yield "gen_ai.response.finish_reasons", [one.reason for one in exchange.ends]


def _money(exchange: Exchange) -> Iterator[tuple[str, Any]]:
    charge = exchange.charge
    if charge is not None and charge.price_list:
        price = float(Decimal(charge.list_price) / PICO)
        yield from (("gen_ai.usage.cost", price), ("centime.price", price), ("centime.currency", charge.currency))
        yield "centime.price_list", charge.price_list
    if charge is not None and charge.machine_cost is not None:
        yield "centime.machine.cost", float(Decimal(charge.machine_cost) / PICO)
        yield "centime.machine.currency", charge.machine_currency
    if exchange.usage is not None:
        yield "centime.machine.seconds", exchange.usage.machine_ns / 1e9
        if exchange.usage.energy.source != NONE:
            yield "centime.energy.joules", exchange.usage.energy.total_uj / 1e6
            yield "centime.energy.source", exchange.usage.energy.source


def _said(exchange: Exchange) -> Iterator[tuple[str, Any]]:
    """Whose it was, and where it went."""
    yield "centime.request_id", exchange.request_id
    yield "http.response.status_code", exchange.status
    values = {
        "centime.key": exchange.key, "centime.place": exchange.place, "centime.team": exchange.tags.team,
        "centime.feature": exchange.tags.feature, "centime.upstream": exchange.upstream, "user.id": exchange.tags.user,
    }  # fmt: skip
    yield from ((name, value) for name, value in values.items() if value)
