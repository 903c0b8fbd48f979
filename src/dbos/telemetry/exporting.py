"""Exports what is told by OTLP over HTTP: spans of the global tracer provider, records of our logger, measurements.

The one module that knows the SDK of OpenTelemetry. A provider can be installed once in the life of a process, and what
it exports to cannot be taken away again; so we add one relay to it, which passes on to whoever is launched.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context, get_current
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from dbos.overdue import cut_short
from dbos.telemetry.metering import LookUp, Metering
from dbos.telemetry.metrics import Metrics

logger = logging.getLogger("dbos")

ATTEMPT_SECONDS = 5.0  # for one attempt to hand over a batch
FAREWELL_SECONDS = 2.0  # for what is left at the end


def export_spans(application_name: str, endpoints: Sequence[str]) -> Callable[[], None]:
    """Send all spans of the global provider to endpoints, which is installed if there is none. Returns how to stop.

    A provider that takes no processors is not the SDK's: then nothing is exported, and the log says so.
    """
    relay = _relay(application_name)
    if relay is None:
        logger.warning("otlp_traces_endpoints have no effect: the tracer provider is not that of the OpenTelemetry SDK")
        return lambda: None
    exporters = [OTLPSpanExporter(url, timeout=ATTEMPT_SECONDS) for url in endpoints]
    mine = tuple(map(BatchSpanProcessor, exporters))
    relay.targets += mine

    def stop() -> None:
        relay.targets = tuple(each for each in relay.targets if each not in mine)
        with _cut_short(exporters):
            for each in mine:
                each.shutdown()  # type: ignore[no-untyped-call]

    return stop


class _Relay(SpanProcessor):
    """Passes spans on to whoever wants them now."""

    targets: tuple[SpanProcessor, ...] = ()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for each in self.targets:
            each.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        for each in self.targets:
            each.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return min((each.force_flush(timeout_millis) for each in list(self.targets)), default=True)


_relays: dict[int, tuple[object, _Relay]] = {}  # by the provider that has it


def _relay(application_name: str) -> _Relay | None:
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        provider = TracerProvider(resource=_resource(application_name))
        trace.set_tracer_provider(provider)
    if not isinstance(provider, TracerProvider):
        return None
    if id(provider) not in _relays:
        _relays[id(provider)] = provider, _Relay()
        provider.add_span_processor(_relays[id(provider)][1])
    return _relays[id(provider)][1]


def export_logs(
    application_name: str, endpoints: Sequence[str], level: int, attributes: Mapping[str, str]
) -> Callable[[], None]:
    """Send the records of our logger from a level on to endpoints, each with attributes. Returns how to stop."""
    provider = LoggerProvider(resource=_resource(application_name), shutdown_on_exit=False)
    exporters = [OTLPLogExporter(url, timeout=ATTEMPT_SECONDS) for url in endpoints]
    for exporter in exporters:
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    handler = _Handler(provider, level, attributes)
    logger.addHandler(handler)

    def stop() -> None:
        logger.removeHandler(handler)
        with _cut_short(exporters):
            provider.shutdown()

    return stop


class _Handler(logging.Handler):
    """Turns records of `logging` into those of OpenTelemetry, which belong to the span that is active."""

    def __init__(self, provider: LoggerProvider, level: int, attributes: Mapping[str, str]) -> None:
        super().__init__(level)
        self._logger = provider.get_logger("dbos")
        self._attributes = dict(attributes)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            attributes: dict[str, Any] = {
                "code.file.path": record.pathname,
                "code.function.name": record.funcName,
                "code.line.number": record.lineno,
            }
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                attributes["exception.type"] = type(error).__qualname__
                attributes["exception.message"] = str(error)
                attributes["exception.stacktrace"] = logging.Formatter().formatException(record.exc_info)
            self._logger.emit(
                LogRecord(
                    timestamp=int(record.created * 1e9),
                    context=get_current(),
                    severity_number=_severity(record.levelno),
                    severity_text="WARN" if record.levelname == "WARNING" else record.levelname,
                    body=record.getMessage(),
                    attributes=attributes | self._attributes,
                )
            )
        except Exception:
            self.handleError(record)


def export_metrics(
    application_name: str, endpoints: Sequence[str], metrics: Metrics, look_up: LookUp, attributes: Mapping[str, str]
) -> Callable[[], None]:
    """Send what is measured to endpoints, with attributes, as often as OTEL_METRIC_EXPORT_INTERVAL says. Returns how to
    stop, which sends the last figures.
    """
    exporters = [OTLPMetricExporter(url, timeout=ATTEMPT_SECONDS) for url in endpoints]
    readers = [PeriodicExportingMetricReader(each) for each in exporters]
    provider = MeterProvider(readers, _resource(application_name), shutdown_on_exit=False)
    stop_measuring = Metering(provider).measure(metrics, look_up, attributes)

    def stop() -> None:
        with _cut_short(exporters):
            provider.shutdown()
        stop_measuring()

    return stop


def _cut_short(
    exporters: Sequence[OTLPSpanExporter] | Sequence[OTLPLogExporter] | Sequence[OTLPMetricExporter],
) -> AbstractContextManager[None]:
    """What is left is sent off within the block; a collector that is away does not hold it up for long."""

    def give_up() -> None:
        for each in exporters:
            each.shutdown()

    return cut_short(FAREWELL_SECONDS, give_up, "dbos-export-farewell")


def _severity(level: int) -> SeverityNumber:
    """From DEBUG, 10 there and 5 here, to CRITICAL, 50 there and 21 here."""
    if level < logging.DEBUG:
        return SeverityNumber.TRACE
    return SeverityNumber(min(level // 10, 5) * 4 + 1)


def _resource(application_name: str) -> Resource:
    """Who tells: as OTEL_SERVICE_NAME says, or else the application."""
    return Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": application_name})
