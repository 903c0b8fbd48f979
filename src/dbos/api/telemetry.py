"""From settings to what is told of this process: spans, and what is exported. Loads OpenTelemetry where that is wanted.

Nothing of it can keep an application from launching: what is missing is named in the log once, and does without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dbos.api.configuration import Settings
from dbos.api.logger import level_number

if TYPE_CHECKING:
    from dbos.telemetry.tracing import Tracing

logger = logging.getLogger("dbos")

SDK = "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"


@dataclass(frozen=True, slots=True)
class Telemetry:
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
        if settings.otlp_traces_endpoints or settings.otlp_logs_endpoints:
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
    traces, logs = settings.otlp_traces_endpoints, settings.otlp_logs_endpoints
    if not traces and not logs:
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


def _is_watched(settings: Settings) -> bool:
    """Is there a provider that takes spans? Says so if there is none, unless the logs are all that is wanted."""
    from dbos.telemetry.tracing import has_provider

    if has_provider():
        return True
    if not settings.otlp_logs_endpoints:
        logger.warning(
            "enable_otlp has no effect: there is no OpenTelemetry tracer provider. Set otlp_traces_endpoints, or a "
            "provider of your own before DBOS.launch()"
        )
    return False


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False
