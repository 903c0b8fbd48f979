"""Spans: one for each execution of a workflow and of a step, and for what a workflow does besides.

What is replayed gets none: it happened before, and was told then. Spans go to the global tracer provider; this module
knows the API of OpenTelemetry only, and is loaded only where tracing is on. Nothing that a provider does changes what
comes of a workflow.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Token
from typing import Any, Protocol

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode

from dbos.telemetry.carrier import Carrier, active, context_of
from dbos.telemetry.naming import Names

logger = logging.getLogger("dbos")

SPANS_OF_CALLS = {
    "DBOS.setEvent": "set_event",
    "DBOS.getEvent": "get_event",
    "DBOS.send": "send",
    "DBOS.recv": "recv",
    "DBOS.writeStream": "write_stream",
    "DBOS.closeStream": "close_stream",
}
"""What is told of, of the calls that a workflow records: step name -> span name."""


class Somebody(Protocol):
    """On whose behalf code runs."""

    @property
    def user(self) -> str | None: ...
    @property
    def roles(self) -> tuple[str, ...] | None: ...
    @property
    def assumed_role(self) -> str | None: ...


class Run(Protocol):
    """An execution of a workflow."""

    @property
    def workflow_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def queue_name(self) -> str | None: ...
    @property
    def identity(self) -> Somebody: ...


def has_provider() -> bool:
    """Is there a global tracer provider?"""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


class Tracing:
    """Starts and ends spans, named and with attributes as configured."""

    def __init__(self, names: Names, version: str, executor_id: str, application_id: str, more: Mapping[str, str]):
        """`more`: attributes that every span gets, besides ours."""
        self._names = names
        self._tracer = trace.get_tracer("dbos-tracer")
        self._always: dict[str, str] = {names.application_version: version, names.executor_id: executor_id}
        if application_id:
            self._always[names.application_id] = application_id
        self._always |= more

    @contextmanager
    def workflow(self, run: Run, carrier: Carrier | None) -> Generator[tuple[Span, Carrier | None]]:
        """The span of an execution, active within the block, and the trace that later ones shall go on with.

        It is a child of what the carrier names, or else of the active span. The block says what came of it (`settle`).
        """
        parent = None if carrier is None else context_of(carrier)
        span = self._start(run.name, parent, attributes=self._attributes(run, "workflow"))
        before = carrier or active()
        with _entered(span):
            yield span, before or active()

    @contextmanager
    def step(self, run: Run, name: str, kind: str = "step") -> Generator[Span]:
        """The span of a step, active within the block, which says what came of it."""
        span = self._start(name, attributes=self._attributes(run, kind))
        with _entered(span):
            yield span

    @contextmanager
    def call(self, run: Run, name: str) -> Generator[None]:
        """The span of a call that a workflow makes and that has no outcome."""
        span = self._start(name, attributes=self._attributes(run, None))
        with _entered(span):
            yield
            with _harmless():
                span.set_status(StatusCode.OK)

    def recorded(self, run: Run, step_name: str, started_at_ms: int | None, failed: bool) -> None:
        """A workflow has recorded a step: those of `SPANS_OF_CALLS` are told of now that they are over."""
        name = SPANS_OF_CALLS.get(step_name)
        if name is not None and started_at_ms is not None:
            begun_at_ns = started_at_ms * 1_000_000
            span = self._start(name, attributes=self._attributes(run, None), start_time=begun_at_ns)
            with _harmless():
                span.set_status(StatusCode.ERROR if failed else StatusCode.OK)
                span.end()

    def tried_in_vain(self, number: int, error: BaseException) -> None:
        """An attempt of the step whose span is active has failed; `number` counts from 0."""
        with _harmless():
            trace.get_current_span().add_event(
                f"Step attempt {number} failed",
                {"exception.type": type(error).__qualname__, "exception.message": _words(error), "attempt": number},
            )

    @staticmethod
    def settle(span: Span, error: BaseException | None) -> None:
        """Say what came of what a span stands for."""
        with _harmless():
            if error is None:
                span.set_status(StatusCode.OK)
            else:
                span.set_status(StatusCode.ERROR, _words(error))
                span.record_exception(error)

    def _start(self, name: str, parent: otel.Context | None = None, **options: Any) -> Span:
        try:
            return self._tracer.start_span(name, parent, **options)
        except Exception:
            logger.debug("There is no span of %s", name, exc_info=True)
            return trace.INVALID_SPAN

    def _attributes(self, run: Run, kind: str | None) -> dict[str, str]:
        names, identity = self._names, run.identity
        given = {
            names.kind: kind,
            names.workflow_id: run.workflow_id,
            names.queue_name: run.queue_name if kind == "workflow" else None,
            names.user: identity.user,
            names.roles: None if identity.roles is None else json.dumps(identity.roles),
            names.assumed_role: identity.assumed_role,
        }
        return {name: value for name, value in given.items() if value is not None} | self._always


@contextmanager
def _entered(span: Span) -> Generator[None]:
    """Make a span the active one until the end of the block; what is raised there is told."""
    token: Token[Any] = otel.attach(trace.set_span_in_context(span))
    try:
        yield
    except GeneratorExit:  # abandoned, in whatever context: it did not come to an end
        raise
    except BaseException as error:
        Tracing.settle(span, error)
        raise
    finally:
        with suppress(ValueError):  # closed by the garbage collector, in another context
            token.var.reset(token)
        with _harmless():
            span.end()


@contextmanager
def _harmless() -> Generator[None]:
    """What a provider raises, or an error that has no words, is nobody's outcome."""
    try:
        yield
    except Exception:
        logger.debug("Something of a span is lost", exc_info=True)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return type(error).__qualname__
