"""api.md §21: spans of workflows and steps, and the trace that a workflow belongs to wherever it runs."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from dbos import DBOS, DBOSContextSetAuth, PropagateOtelContext, Queue, SetWorkflowAttributes, SetWorkflowID, error
from dbos.telemetry import exporting
from tests.support.collector import attributes, collecting
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually


@pytest.fixture
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process in which nobody has set a provider."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


@pytest.fixture
def exporter(no_provider: None) -> Iterator[InMemorySpanExporter]:
    """What the global provider has been told."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """By their names; that of a workflow ends a moment before its result is there, never after."""
    return {span.name.rpartition(".")[2]: span for span in exporter.get_finished_spans()}


def remote(span: trace.Span) -> trace.SpanContext:
    """As a span of another process refers to it."""
    here = span.get_span_context()
    return trace.SpanContext(here.trace_id, here.span_id, True, here.trace_flags, here.trace_state)


def tree(exporter: InMemorySpanExporter) -> set[tuple[str, str | None]]:
    """Name of each span and of its parent."""
    named = {span.context.span_id: span.name.rpartition(".")[2] for span in exporter.get_finished_spans()}
    parents = [(span, span.parent) for span in exporter.get_finished_spans()]
    return {(named[span.context.span_id], parent and named.get(parent.span_id, "?")) for span, parent in parents}


class Unspeakable(Exception):
    """An error that cannot be put in words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Failing(SpanProcessor):
    """Of a provider that fails."""

    def on_start(self, span: trace.Span, parent_context: Context | None = None) -> None:
        raise RuntimeError("it does not begin")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("it does not end")


@pytest.mark.parametrize("failing", ["on_start", "on_end", "nothing"])
def test_what_tracing_cannot_do_is_no_outcome(
    launch: Launch, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    @DBOS.step(retries_allowed=True, max_attempts=2, interval_seconds=0.001)
    def step() -> None:
        raise Unspeakable

    @DBOS.workflow()
    def workflow() -> str:
        try:
            step()
        except error.DBOSMaxStepRetriesExceeded:
            DBOS.set_event("caught", True)
        raise Unspeakable

    processor = Failing()
    for method in {"on_start", "on_end"} - {failing}:
        monkeypatch.setattr(processor, method, lambda *_, **__: None)
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(processor)
    launch(enable_otlp=True)
    with SetWorkflowID("w"), pytest.raises(Unspeakable):
        workflow()
    assert DBOS.retrieve_workflow("w").get_status().status == "ERROR"
    assert [step["function_name"] for step in DBOS.list_workflow_steps("w")][1:] == ["DBOS.setEvent"]


def test_one_span_for_each_workflow_step_and_call(
    launch: Launch, exporter: InMemorySpanExporter, replay: Replay
) -> None:
    @DBOS.step(retries_allowed=True, max_attempts=2, interval_seconds=0.001)
    def failing() -> None:
        DBOS.span.set_attribute("mine", 1)
        raise ValueError("in vain")

    @DBOS.step()
    async def awaited() -> str:
        return "done"

    @DBOS.workflow()
    async def child() -> str:
        return await awaited()

    @DBOS.transaction()
    def moved() -> None: ...

    @DBOS.workflow()
    def parent() -> None:
        DBOS.span.add_event("begun")
        DBOS.set_event("key", 1)
        DBOS.sleep(0.001)
        moved()
        DBOS.start_workflow(child).get_result()
        failing()

    launch(enable_otlp=True, otlp_attributes={"team": "a"}, application_version="v")
    with SetWorkflowID("w"), DBOSContextSetAuth("eve", ["root"]), pytest.raises(error.DBOSMaxStepRetriesExceeded):
        parent()
    assert tree(exporter) == {
        ("parent", None),
        ("set_event", "parent"),
        ("sleep", "parent"),
        ("moved", "parent"),
        ("child", "parent"),
        ("awaited", "child"),
        ("failing", "parent"),
    }
    told = spans(exporter)
    assert len({span.context.trace_id for span in told.values()}) == 1
    everywhere = {"authenticatedUser": "eve", "authenticatedUserRoles": '["root"]', "applicationVersion": "v"}
    everywhere |= {"executorID": "local", "operationUUID": "w", "team": "a"}
    assert dict(told["parent"].attributes or {}) == {**everywhere, "operationType": "workflow"}
    assert dict(told["failing"].attributes or {}) == {**everywhere, "operationType": "step", "mine": 1}
    assert dict(told["sleep"].attributes or {}) == everywhere
    assert (told["moved"].attributes or {})["operationType"] == "transaction"
    assert [event.name for event in told["failing"].events] == [
        "Step attempt 0 failed",
        "Step attempt 1 failed",
        "exception",
    ]
    assert {name for name, span in told.items() if not span.status.is_ok} == {"parent", "failing"}
    assert [event.name for event in told["parent"].events] == ["begun", "exception"]

    exporter.clear()
    with pytest.raises(error.DBOSMaxStepRetriesExceeded):
        replay("w").get_result()
    assert set(spans(exporter)) == {"parent"}, "what is replayed was told of before"


def test_attributes_by_the_semantic_conventions(launch: Launch, exporter: InMemorySpanExporter) -> None:
    queue = Queue("jobs")

    @DBOS.workflow()
    def job() -> None: ...

    launch(enable_otlp=True, otel_attribute_format="semconv", application_version="v", executor_id="e")
    with SetWorkflowID("w"):
        queue.enqueue(job).get_result()
    assert dict(spans(exporter)["job"].attributes or {}) == {
        "dbos.operation.type": "workflow",
        "dbos.operation.workflow_id": "w",
        "dbos.queue.name": "jobs",
        "dbos.application.version": "v",
        "dbos.executor.id": "e",
    }


def test_steps_side_by_side_are_children_of_their_workflow(launch: Launch, exporter: InMemorySpanExporter) -> None:
    @DBOS.step()
    async def step() -> trace.SpanContext:
        await asyncio.sleep(0)
        return trace.get_current_span().get_span_context().span_id

    @DBOS.workflow()
    async def fan_out() -> list[Any]:
        return await asyncio.gather(*(step() for _ in range(3)))

    launch(enable_otlp=True)
    seen = asyncio.run(fan_out())
    told = {span.context.span_id: span for span in exporter.get_finished_spans()}
    assert len(set(seen)) == 3
    assert {told[each].parent.span_id for each in seen} == {spans(exporter)["fan_out"].context.span_id}  # type: ignore[union-attr]


def test_a_queued_workflow_belongs_to_the_trace_it_was_asked_for(
    launch: Launch, exporter: InMemorySpanExporter
) -> None:
    queue = Queue("jobs")

    @DBOS.workflow()
    def grandchild() -> None: ...

    @DBOS.workflow()
    def job() -> str:
        return queue.enqueue(grandchild).workflow_id

    launch(enable_otlp=True)
    tracer = trace.get_tracer("test")
    with PropagateOtelContext(), SetWorkflowID("nothing active"):
        queue.enqueue(job).get_result()
    with tracer.start_as_current_span("caller") as caller:
        queue.enqueue(job).get_result()
        queue.enqueue(job).get_result()
        assert caller.get_span_context().trace_id not in {
            each.context.trace_id for each in exporter.get_finished_spans()
        }
        exporter.clear()
        with SetWorkflowAttributes({"customer": 7}), PropagateOtelContext():
            handle = queue.enqueue(job)
        asked = trace.set_span_in_context(caller)
    inner = handle.get_result()
    DBOS.get_result(inner)
    told = spans(exporter)
    assert told["job"].parent == remote(caller)
    assert told["grandchild"].parent is None
    carrier = (handle.get_status().attributes or {})["dbos.otelContext"]
    assert set(carrier) == {"traceparent"}
    assert (handle.get_status().attributes or {})["customer"] == 7
    assert DBOS.retrieve_workflow(inner).get_status().attributes is None
    assert DBOS.retrieve_workflow("nothing active").get_status().attributes is None

    exporter.clear()
    options: Any = {"workflow_name": job.__qualname__, "queue_name": "jobs", "otel_context": asked}
    DBOS.enqueue_workflow_with_options(options).get_result()
    assert spans(exporter)["job"].parent == remote(caller)
    with pytest.raises(error.DBOSException, match="OpenTelemetry Context"):
        PropagateOtelContext({"traceparent": "0"})  # type: ignore[arg-type]


@pytest.mark.parametrize("queued", [False, True], ids=["started", "queued"])
def test_one_trace_for_all_executions(launch: Launch, exporter: InMemorySpanExporter, queued: bool) -> None:
    queue = Queue("jobs")
    with Gate() as gate:

        @DBOS.step()
        def first() -> None: ...

        @DBOS.step()
        def last() -> None: ...

        @DBOS.workflow()
        def job() -> None:
            first()
            gate.pass_through()
            last()

        launch(enable_otlp=True)
        with SetWorkflowID("w"):
            handle = queue.enqueue(job) if queued else DBOS.start_workflow(job)
        gate.wait_for_arrival()
        assert handle.get_status().attributes is None
        launch(enable_otlp=True)
        gate.wait_for_arrival(2)
        gate.open()
        DBOS.get_result("w")
    told = exporter.get_finished_spans()
    assert {span.name.rpartition(".")[2] for span in told} == {"first", "last", "job"}
    assert len({span.context.trace_id for span in told}) == 1
    assert DBOS.retrieve_workflow("w").get_status().attributes is None


def test_a_cancelled_workflow_is_told_of_as_such(launch: Launch, exporter: InMemorySpanExporter) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def job() -> None:
            gate.pass_through()
            DBOS.sleep(60)

        launch(enable_otlp=True)
        handle = DBOS.start_workflow(job)
        gate.wait_for_arrival()
        DBOS.cancel_workflow(handle.workflow_id)
    span = eventually(lambda: spans(exporter).get("job"))
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "cancelled" in (span.status.description or "")


def test_attributes_that_are_broken_begin_a_trace_of_their_own(
    launch: Launch, exporter: InMemorySpanExporter, database_url: str, replay: Replay
) -> None:
    @DBOS.workflow()
    def job() -> str:
        return "done"

    launch(enable_otlp=True)
    with SetWorkflowID("w"):
        job()
    for broken in ('{"dbos.otelContext": 7}', '{"dbos.otelContext": {"traceparent": "nonsense"}}', '["dbos.trace"]'):
        exporter.clear()
        run_sql(database_url, "update workflow_status set attributes = ?", broken)
        assert replay("w").get_result() == "done"
        assert spans(exporter)["job"].parent is None


def test_without_a_provider_or_without_being_asked_nothing_is_told(
    launch: Launch, no_provider: None, caplog: pytest.LogCaptureFixture
) -> None:
    @DBOS.workflow()
    def job() -> object:
        return DBOS.span

    launch(enable_otlp=True)
    (warning,) = [each.getMessage() for each in caplog.records if "enable_otlp" in each.getMessage()]
    assert "no OpenTelemetry tracer provider" in warning
    assert job() is None
    caplog.clear()
    launch(otlp_traces_endpoints=["http://127.0.0.1:9/v1/traces"])
    (warning,) = [each.getMessage() for each in caplog.records if "enable_otlp" in each.getMessage()]
    assert job() is None


def test_open_telemetry_need_not_be_installed(sqlite_url: str) -> None:
    program = f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from dbos import DBOS, PropagateOtelContext
DBOS(config={{"name": "without", "system_database_url": {sqlite_url!r}, "enable_otlp": True}})
@DBOS.workflow()
def job():
    return DBOS.span
DBOS.launch()
with PropagateOtelContext():
    print(DBOS.start_workflow(job).get_result())
DBOS.destroy()
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert answer.stdout == "None\n"
    assert "OpenTelemetry is not installed; install dbos[otel]" in answer.stderr


# ---------------------------------------------------------------- export


def test_spans_and_logs_reach_a_collector(launch: Launch, no_provider: None) -> None:
    @DBOS.workflow()
    def job() -> str:
        DBOS.logger.info("quiet")
        DBOS.logger.error("loud", exc_info=ValueError("why"))
        trace.get_tracer("mine").start_span("mine").end()
        return format(trace.get_current_span().get_span_context().trace_id, "032x")

    with collecting() as collector:
        endpoints = {f"otlp_{kind}_endpoints": [f"{collector.url}/v1/{kind}"] for kind in ("traces", "logs")}
        for round_ in (1, 2):
            launch(enable_otlp=True, otlp_attributes={"team": "a"}, otlp_log_level="WARNING", **endpoints)
            with SetWorkflowID(f"w{round_}"):
                trace_id = job()
            DBOS.destroy()
            assert [span.name for span in collector.spans] == ["mine", job.__qualname__] * round_
    assert collector.services == {"test-app"}
    workflows = [span for span in collector.spans if span.name == job.__qualname__]
    assert [attributes(span)["operationUUID"] for span in workflows] == ["w1", "w2"]
    assert attributes(workflows[-1])["team"] == "a"
    loud = [record for record in collector.logs if record.body.string_value == "loud"]
    assert len(loud) == 2
    assert (loud[-1].severity_text, loud[-1].severity_number) == ("ERROR", 17)
    assert attributes(loud[-1])["team"] == "a"
    assert attributes(loud[-1])["exception.type"] == "ValueError"
    assert loud[-1].trace_id.hex() == trace_id
    assert "quiet" not in {record.body.string_value for record in collector.logs}


def test_a_collector_that_is_away_keeps_nobody(
    launch: Launch, no_provider: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "FAREWELL_SECONDS", 0.1)

    @DBOS.workflow()
    def job() -> str:
        return "done"

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        away = ["http://127.0.0.1:9/v1/x"]
        launch(enable_otlp=True, **{f"otlp_{kind}_endpoints": away for kind in ("traces", "logs", "metrics")})
        assert job() == "done"
        began = time.monotonic()
        DBOS.destroy()
        assert time.monotonic() - began < 5
    finally:
        logging.getLogger("opentelemetry").setLevel(logging.NOTSET)
