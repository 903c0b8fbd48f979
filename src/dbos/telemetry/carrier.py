"""Where a trace goes on: a span named in the terms of W3C Trace Context, kept with the workflow in its attributes.

`dbos.otelContext` holds the trace that a workflow shall belong to, as whoever started it asked. `dbos.trace` holds the
trace that its first execution turned out to belong to, so that what comes after a crash belongs there, too; users do
not see it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.context import Context

ASKED = "dbos.otelContext"
FOLLOWED = "dbos.trace"

Carrier = Mapping[str, str]
"""`traceparent`, and `tracestate` if there is one."""


def active(context: Context | None = None) -> Carrier | None:
    """The span that is active here, or in a context; None without one, or if nobody has loaded OpenTelemetry."""
    if context is None and "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context)
    return carrier or None


def context_of(carrier: Carrier) -> Context:
    """The context whose active span is the one that the carrier names; an empty one, if that is no carrier."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(carrier, Context())


def with_asked(attributes: str | None, carrier: Carrier | None) -> str | None:
    """The stored attributes of a workflow that shall belong to a trace."""
    if carrier is None:
        return attributes
    return json.dumps({**json.loads(attributes or "{}"), ASKED: carrier})


def followed(carrier: Carrier) -> str:
    """What is merged into the attributes of a workflow that turned out to belong to a trace."""
    return json.dumps({FOLLOWED: carrier})


def stored(attributes: str | None) -> Carrier | None:
    """The trace that a workflow belongs to, by its stored attributes. What cannot be read says nothing."""
    if attributes is None or (ASKED not in attributes and FOLLOWED not in attributes):
        return None
    try:
        values = json.loads(attributes)
        carrier = values.get(ASKED) or values.get(FOLLOWED)
    except (ValueError, AttributeError):
        return None
    if not isinstance(carrier, dict):
        return None
    return {key: value for key, value in carrier.items() if isinstance(value, str)}


def without_followed(attributes: Any) -> Any:
    """The attributes as users see them; None if nothing is left."""
    if not isinstance(attributes, dict) or FOLLOWED not in attributes:
        return attributes
    return {key: value for key, value in attributes.items() if key != FOLLOWED} or None
