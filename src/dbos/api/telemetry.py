"""From settings to what is told of this process: spans, measurements, and what is exported.

Loads OpenTelemetry where that is wanted. Nothing of it can keep an application from launching: what is missing is named
in the log once, and does without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dbos.api.configuration import Settings
from dbos.api.logger import level_number
from dbos.fields import NamedTuple
from dbos.telemetry.instruments import Family
from dbos.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from dbos.telemetry.tracing import Tracing

logger = logging.getLogger("dbos")

API = ("opentelemetry.metrics",)
SDK = "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"


class Telemetry(NamedTuple):
    """What watches this process. `stop` lets go of it, after sending off what is left."""

    tracing: Tracing | None = None
    exports: tuple[Callable[[], None], ...] = ()

    def stop(self) -> None:
        for end in self.exports:
            try:
                end()
            except Exception:
                logger.warning("What was left to be exported is lost", exc_info=True)


def open_telemetry(settings: Settings, version: str) -> Telemetry:
    """Make ready what `enable_otlp` asks for."""
    if not settings.enable_otlp:
        if any(_endpoints(settings)):
            logger.warning("Nothing is exported to the OTLP endpoints unless enable_otlp is True")
        return Telemetry()
    if not _installed("opentelemetry.trace"):
        logger.warning("enable_otlp has no effect: OpenTelemetry is not installed; install dbos[otel]")
        return Telemetry()
    exports = _exports(settings)
    if not _is_watched(settings):
        return Telemetry(None, exports)
    from dbos.telemetry.naming import NAMES
    from dbos.telemetry.tracing import Tracing

    names = NAMES[settings.otel_attribute_format]
    about = version, settings.executor_id, settings.application_id
    return Telemetry(Tracing(names, *about, settings.otlp_attributes), exports)


def _exports(settings: Settings) -> tuple[Callable[[], None], ...]:
    traces, logs, _ = _endpoints(settings)
    if not any(_endpoints(settings)):
        return ()
    if not all(map(_installed, SDK)):
        logger.warning("Nothing is exported to the OTLP endpoints: %s are not installed; install dbos[otel]", SDK)
        return ()
    from dbos.telemetry.exporting import export_logs, export_spans

    exports: list[Callable[[], None]] = []
    if traces:
        exports.append(export_spans(settings.name, traces))
    if logs:
        level = level_number(settings.log_level if settings.otlp_log_level is None else settings.otlp_log_level)
        exports.append(export_logs(settings.name, logs, level, settings.otlp_attributes))
    return tuple(exports)


def with_metrics(
    telemetry: Telemetry, settings: Settings, metrics: Metrics, look_up: Callable[[], list[Family]]
) -> Telemetry:
    """Besides, let OpenTelemetry have what is measured: at the endpoints, or else at the global meter provider."""
    endpoints = settings.otlp_metrics_endpoints
    if not settings.enable_otlp or not all(map(_installed, SDK if endpoints else API)):
        return telemetry
    if endpoints:
        from dbos.telemetry.exporting import export_metrics

        stop = export_metrics(settings.name, endpoints, metrics, look_up, settings.otlp_attributes)
    else:
        from dbos.telemetry.metering import has_provider, measure_globally

        if not has_provider():
            return telemetry
        stop = measure_globally(metrics, look_up, settings.otlp_attributes)
    return telemetry._replace(exports=(*telemetry.exports, stop))


def _endpoints(settings: Settings) -> tuple[list[str], list[str], list[str]]:
    """Of traces, logs and metrics."""
    return settings.otlp_traces_endpoints, settings.otlp_logs_endpoints, settings.otlp_metrics_endpoints


def _is_watched(settings: Settings) -> bool:
    """Is there a provider that takes spans? Says so if there is none, unless something else is all that is wanted."""
    from dbos.telemetry.metering import has_provider as has_meter_provider
    from dbos.telemetry.tracing import has_provider

    if has_provider():
        return True
    if not settings.otlp_logs_endpoints and not settings.otlp_metrics_endpoints and not has_meter_provider():
        logger.warning(
            "enable_otlp has no effect: there is no OpenTelemetry tracer provider, nor a meter provider. Set "
            "otlp_traces_endpoints or otlp_metrics_endpoints, or a provider of your own before DBOS.launch()"
        )
    return False


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False
