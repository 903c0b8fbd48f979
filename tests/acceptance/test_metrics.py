"""What is measured: its figures are what has happened, and nobody pays for it who does not ask."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import opentelemetry.sdk.metrics
import pytest
from opentelemetry import metrics as otel
from opentelemetry.metrics import _internal as internals
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.util._once import Once
from prometheus_client.parser import text_string_to_metric_families

from dbos import DBOS, Queue, SetEnqueueOptions, SetWorkflowID, error
from dbos.api.assembly import Running
from dbos.api.launched import current_engine
from dbos.runtime import gauges
from dbos.telemetry.instruments import Histogram
from dbos.telemetry.metrics import STEP_SECONDS
from tests.support.collector import attributes, collecting
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually

Figures = dict[tuple[str, ...], float]
"""By the name of a sample and the values of its labels: ("dbos_queue_depth", "jobs")."""


@pytest.fixture(autouse=True)
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked up is never that of a moment ago."""
    monkeypatch.setattr(gauges, "FRESH_SECONDS", -1.0)


@pytest.fixture
def watched(launch: Launch) -> Launch:
    """Launches with an admin server on any free port."""
    return lambda **config: launch(run_admin_server=True, admin_port=0, **config)


def running() -> Running:
    found = DBOS._instance and DBOS._instance._running
    assert found is not None
    return found


def stop_services() -> None:
    """Nothing happens by itself any more."""
    for service in running().services:
        service.stop()


def scrape() -> Figures:
    """The figures of this moment, as an independent parser reads them."""
    server = running().admin_server
    assert server is not None
    assert server.address is not None
    host, port = server.address
    with urlopen(f"http://{host}:{port}/metrics", timeout=20) as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.read().decode()
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    figures = {(each.name, *each.labels.values()): each.value for each in samples}
    assert len(figures) == len(samples)
    return figures


def counted() -> Figures:
    """The figures once nothing runs, and no service does a round: a result is there a moment before it is counted."""
    assert current_engine().wait_until_idle(20)
    stop_services()
    return scrape()


def series(figures: Figures, name: str) -> dict[tuple[str, ...], float]:
    """Those of one name, by the values of the labels."""
    return {key[1:]: value for key, value in figures.items() if key[0] == name}


# ---------------------------------------------------------------- workflows and steps


def test_workflows_and_steps_by_what_came_of_them(watched: Launch, replay: Replay) -> None:
    tries = iter(range(100))

    @DBOS.step(name="ok")
    def ok() -> int:
        return 1

    @DBOS.step(name="flaky", retries_allowed=True, max_attempts=3, interval_seconds=0.001)
    def flaky() -> None:
        if next(tries) != 2:
            raise ValueError("again")

    @DBOS.transaction(name="moved")
    def moved() -> None: ...

    @DBOS.workflow(name="good")
    def good() -> None:
        ok()
        ok()
        moved()
        DBOS.set_event("key", 1)
        DBOS.sleep(0.001)

    @DBOS.workflow(name="bad")
    def bad() -> None:
        flaky()  # fails, fails, succeeds
        flaky()  # fails three times

    @DBOS.workflow(name="awaited")
    async def awaited() -> None: ...

    watched()
    with SetWorkflowID("g"):
        good()
    good()
    with pytest.raises(error.DBOSMaxStepRetriesExceeded):
        bad()
    DBOS.start_workflow(awaited).get_result()
    figures = counted()
    assert series(figures, "dbos_workflows_started_total") == {("good",): 2, ("bad",): 1, ("awaited",): 1}
    assert series(figures, "dbos_workflows_finished_total") == {
        ("good", "SUCCESS"): 2,
        ("bad", "ERROR"): 1,
        ("awaited", "SUCCESS"): 1,
    }
    assert series(figures, "dbos_steps_finished_total") == {
        ("ok", "success"): 4,
        ("moved", "success"): 2,
        ("flaky", "success"): 1,
        ("flaky", "error"): 1,
    }
    assert series(figures, "dbos_steps_retried_total") == {("flaky",): 4}
    assert series(figures, "dbos_workflow_duration_seconds_count") == {("good",): 2, ("bad",): 1, ("awaited",): 1}
    assert series(figures, "dbos_step_duration_seconds_count") == {("ok",): 4, ("moved",): 2, ("flaky",): 2}
    assert 0 < figures["dbos_step_duration_seconds_sum", "flaky"] < figures["dbos_workflow_duration_seconds_sum", "bad"]
    assert figures["dbos_workflows_running",] == 0

    counters = current_engine().store.journal.counters
    after = scrape()
    assert after["dbos_journal_batch_records_count",] == counters.commits
    assert after["dbos_journal_batch_records_sum",] == counters.records
    assert after["dbos_journal_commit_duration_seconds_count",] == counters.commits
    assert after["dbos_journal_commit_duration_seconds_sum",] > 0

    replay("g").get_result()
    figures = counted()
    assert figures["dbos_workflows_started_total", "good"] == 3
    assert figures["dbos_workflows_recovered_total",] == 1
    assert figures["dbos_steps_finished_total", "ok", "success"] == 4, "a replay is no step"


def test_cancelled_and_given_up(watched: Launch, database_url: str) -> None:
    with Gate() as gate:

        @DBOS.step(name="held")
        def held() -> None:
            gate.pass_through()

        @DBOS.workflow(name="job", max_recovery_attempts=1)
        def job() -> None:
            held()

        @DBOS.workflow(name="bare")
        def bare() -> None:
            gate.pass_through()

        watched()
        for workflow in (job, bare):
            with SetWorkflowID(f"cancelled {workflow.__name__}"):
                DBOS.start_workflow(workflow)
            with SetWorkflowID(f"stolen {workflow.__name__}"):
                DBOS.start_workflow(workflow)
        gate.wait_for_arrival(4)
        assert scrape()["dbos_workflows_running",] == 4
        DBOS.cancel_workflows(["cancelled job", "cancelled bare"])
        taken = "update workflow_status set epoch = epoch + 1, executor_instance = 'nobody' where workflow_uuid > 's'"
        run_sql(database_url, taken)
        gate.open()
        eventually(lambda: scrape()["dbos_workflows_running",] == 0)
        figures = scrape()
    assert series(figures, "dbos_workflows_finished_total") == {("job", "CANCELLED"): 1, ("bare", "CANCELLED"): 1}
    assert series(figures, "dbos_workflow_duration_seconds_count") == {("job",): 1, ("bare",): 1}
    assert series(figures, "dbos_steps_finished_total") == {}
    fenced = series(figures, "dbos_writes_fenced_total")
    assert fenced["cancelled",] == 1, "the step; the execution without one was told before its end"
    assert fenced["taken_over",] in (1, 2), "so may the other one have been"

    run_sql(database_url, "update workflow_status set recovery_attempts = 9 where workflow_uuid = 'stolen job'")
    run_sql(database_url, "update workflow_status set executor_id = 'somebody' where workflow_uuid = 'stolen job'")
    DBOS._recover_pending_workflows(["somebody"])
    figures = scrape()
    assert figures["dbos_workflows_finished_total", "job", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"] == 1
    assert figures["dbos_workflows_recovered_total",] == 1


def test_an_outcome_that_comes_too_late_is_fenced(watched: Launch, database_url: str) -> None:
    """Whoever has it now has ended it already."""

    @DBOS.workflow(name="late")
    def late(how: str) -> None:
        run_sql(database_url, f"update workflow_status set epoch = epoch + 1, {how} where workflow_uuid = ?", how)

    watched()
    stop_services()  # the listener would tell the execution before it writes
    for how in ("status = 'SUCCESS', completed_at = 1", "status = 'CANCELLED', completed_at = 1"):
        with SetWorkflowID(how):
            DBOS.start_workflow(late, how)
    eventually(lambda: scrape()["dbos_workflows_running",] == 0)
    figures = scrape()
    assert series(figures, "dbos_writes_fenced_total") == {("cancelled",): 1, ("taken_over",): 1}
    assert series(figures, "dbos_workflows_finished_total") == {("late", "CANCELLED"): 1}


def test_the_next_launch_recovers_and_begins_to_count_anew(watched: Launch) -> None:
    queue = Queue("jobs")
    with Gate() as gate:

        @DBOS.workflow(name="job")
        def job() -> None:
            gate.pass_through()

        watched()
        handles = [DBOS.start_workflow(job), queue.enqueue(job)]
        gate.wait_for_arrival(2)
        assert scrape()["dbos_workflows_recovered_total",] == 0
        watched()
        gate.wait_for_arrival(4)
        gate.open()
        for handle in handles:
            DBOS.get_result(handle.workflow_id)
    figures = counted()
    assert figures["dbos_workflows_recovered_total",] == 2, "one to run, one for its queue"
    assert figures["dbos_workflows_started_total", "job"] == 2
    assert figures["dbos_workflows_dequeued_total", "jobs"] == 1


# ---------------------------------------------------------------- queues and leases


def test_queues_as_they_are(watched: Launch, database_url: str) -> None:
    narrow = Queue("narrow", concurrency=3, worker_concurrency=1, priority_enabled=True)
    Queue("free")
    Queue("dealt", partition_queue=True, concurrency=1)  # a limit of each partition, not of the queue
    with Gate() as gate:

        @DBOS.workflow(name="job")
        def job() -> None:
            gate.pass_through()

        watched(executor_id="me", application_version="v1", executor_lease_sec=30)
        figures = scrape()
        assert series(figures, "dbos_queue_depth") == {
            ("_dbos_internal_queue",): 0,
            ("dealt",): 0,
            ("free",): 0,
            ("narrow",): 0,
        }
        assert set(series(figures, "dbos_queue_oldest_age_seconds").values()) == {0}
        DBOS.register_queue("stored", concurrency=7)
        ids = []
        for priority in (1, 2, 1, 3):
            with SetEnqueueOptions(priority=priority):
                ids.append(narrow.enqueue(job).workflow_id)
            gate.wait_for_arrival()
        age = "update workflow_status set updated_at = updated_at - ? where workflow_uuid = ?"
        run_sql(database_url, age, 5_000, ids[2])
        run_sql(database_url, age, 90_000, ids[3])
        run_sql(
            database_url,
            "insert into workflow_status (workflow_uuid, status, epoch, name, created_at, updated_at, queue_name,"
            " executor_instance) values ('elsewhere', 'PENDING', 1, 'job', 0, 0, 'narrow', 'another')",
        )
        figures = eventually(lambda: found if ("dbos_queue_depth", "stored") in (found := scrape()) else None)
        assert figures["dbos_queue_depth", "narrow"] == 3
        assert 90 <= figures["dbos_queue_oldest_age_seconds", "narrow"] < 120, "of any priority"
        assert figures["dbos_queue_running", "narrow"] == 2
        assert figures["dbos_queue_worker_running", "narrow"] == 1
        assert figures["dbos_queue_worker_running", "free"] == 0
        assert series(figures, "dbos_queue_concurrency_limit") == {("narrow",): 3, ("stored",): 7}
        assert series(figures, "dbos_queue_worker_concurrency_limit") == {("narrow",): 1}
        assert 0 <= figures["dbos_lease_age_seconds",] < 30
        assert figures["dbos_lease_duration_seconds",] == 30
        assert figures["dbos_executor_info", "test-app", "v1", "me"] == 1
        assert figures["dbos_database_up",] == 1
        run_sql(database_url, "delete from workflow_status where workflow_uuid = 'elsewhere'")
        gate.open()
        for each in ids:
            DBOS.get_result(each)
    figures = counted()
    assert figures["dbos_workflows_dequeued_total", "narrow"] == 4
    assert figures["dbos_queue_depth", "narrow"] == figures["dbos_queue_running", "narrow"] == 0


def test_names_that_are_hostile_come_back_as_they_were(watched: Launch) -> None:
    name = 'a\nb"c\\d{e="f"} 7\r\\n'
    queue = Queue(name)

    @DBOS.step(name=name)
    def step() -> None: ...

    @DBOS.workflow(name=name)
    def job() -> None:
        step()

    watched(application_version='v"')
    queue.enqueue(job).get_result()
    figures = counted()
    assert figures["dbos_workflows_finished_total", name, "SUCCESS"] == 1
    assert figures["dbos_steps_finished_total", name, "success"] == 1
    assert figures["dbos_workflows_dequeued_total", name] == 1
    assert figures["dbos_queue_depth", name] == 0
    assert figures["dbos_executor_info", "test-app", 'v"', "local"] == 1


def test_a_database_that_is_away_hides_no_counter(watched: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    @DBOS.workflow(name="job")
    def job() -> None: ...

    watched()
    job()

    def fail(names: object) -> None:
        raise error.DBOSException("away")

    monkeypatch.setattr(current_engine().store.claims, "loads", fail)
    figures = scrape()
    assert figures["dbos_database_up",] == 0
    assert series(figures, "dbos_queue_depth") == {}
    assert figures["dbos_workflows_finished_total", "job", "SUCCESS"] == 1


# ---------------------------------------------------------------- many at once, and what it costs


def test_many_scrape_while_workflows_run(watched: Launch) -> None:
    queue = Queue("jobs")

    @DBOS.step(name="step")
    def step() -> None: ...

    @DBOS.workflow(name="job")
    def job() -> None:
        step()

    watched()
    done = threading.Event()
    seen: list[list[Figures]] = [[] for _ in range(3)]

    def watch(mine: list[Figures]) -> None:
        while not done.is_set():
            mine.append(scrape())

    threads = [threading.Thread(target=watch, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    eventually(lambda: all(seen))
    handles = [queue.enqueue(job) for _ in range(40)]
    for handle in handles:
        handle.get_result()
    done.set()
    for thread in threads:
        thread.join()
    last = counted()
    assert last["dbos_workflows_finished_total", "job", "SUCCESS"] == 40
    for mine in seen:
        for before, after in zip(mine, [*mine[1:], last], strict=True):
            assert all(after[key] >= before[key] for key in before if key[0].endswith(("_total", "_count", "_bucket")))
            key = "dbos_step_duration_seconds", "step"
            infinite = (f"{key[0]}_bucket", "step", "+Inf")
            assert before.get(infinite) == before.get((f"{key[0]}_count", "step"))


def test_a_scrape_is_one_question_and_many_within_a_second_are_one(
    watched: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched()
    stop_services()
    counters = current_engine().store.journal.counters
    before = counters.queries
    scrape()
    assert counters.queries == before + 1
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 60.0)
    for _ in range(3):
        scrape()
    assert counters.queries == before + 1


# ---------------------------------------------------------------- OpenTelemetry


def test_figures_reach_a_collector(launch: Launch) -> None:
    queue = Queue("jobs", concurrency=2)

    @DBOS.step(name="step")
    def step() -> None: ...

    @DBOS.workflow(name="job")
    def job() -> None:
        step()

    with collecting() as collector:
        for _ in range(2):
            launch(
                enable_otlp=True,
                otlp_metrics_endpoints=[f"{collector.url}/v1/metrics"],
                otlp_attributes={"team": "a"},
            )
            queue.enqueue(job).get_result()
            assert current_engine().wait_until_idle(20)
            collector.metrics.clear()
            DBOS.destroy()
            (finished,) = collector.metrics["dbos.workflows.finished"].sum.data_points
            assert finished.as_int == 1, "each launch counts for itself"
    assert collector.services == {"test-app"}
    assert collector.metrics["dbos.workflows.finished"].sum.is_monotonic
    assert attributes(finished) == {
        "dbos.workflow.name": "job",
        "dbos.workflow.status": "SUCCESS",
        "team": "a",
    }
    told = collector.metrics["dbos.step.duration"]
    (duration,) = told.histogram.data_points
    assert (told.unit, duration.count, list(duration.explicit_bounds)) == ("s", 1, list(STEP_SECONDS))
    assert attributes(duration) == {"dbos.step.name": "step", "team": "a"}
    (running,) = collector.metrics["dbos.workflows.running"].gauge.data_points
    assert running.as_int == 0


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Of a global meter provider that somebody else has set."""
    monkeypatch.setattr(internals, "_METER_PROVIDER", None)
    monkeypatch.setattr(internals, "_METER_PROVIDER_SET_ONCE", Once())
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    otel.set_meter_provider(provider)
    yield reader
    provider.shutdown()


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    scopes = [] if data is None else [scope for each in data.resource_metrics for scope in each.scope_metrics]
    return {metric.name: metric.data for scope in scopes for metric in scope.metrics}


def test_a_global_provider_has_them_from_whoever_is_launched(
    launch: Launch, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    Queue("jobs", concurrency=2)

    @DBOS.workflow(name="job")
    def job() -> None: ...

    for _ in range(2):
        launch(enable_otlp=True)
        job()
        told = collected(reader)
        (point,) = told["dbos.workflows.finished"].data_points
        assert (point.value, dict(point.attributes)["dbos.workflow.name"]) == (1, "job")
        depths = {point.attributes["dbos.queue.name"]: point.value for point in told["dbos.queue.depth"].data_points}
        assert depths == {"_dbos_internal_queue": 0, "jobs": 0}
        (limit,) = told["dbos.queue.concurrency.limit"].data_points
        assert limit.value == 2
    (duration,) = told["dbos.workflow.duration"].data_points
    assert duration.count == 2, "a histogram of theirs goes on"
    DBOS.destroy()
    assert "dbos.workflows.finished" not in collected(reader)
    assert "enable_otlp has no effect" not in caplog.text


def test_what_a_watcher_raises_is_no_outcome(
    launch: Launch, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(*arguments: object, **options: object) -> None:
        raise RuntimeError("no more room for figures")

    @DBOS.step(name="step")
    def step() -> int:
        return 1

    @DBOS.workflow(name="job")
    def job() -> int:
        return step()

    monkeypatch.setattr(opentelemetry.sdk.metrics.Histogram, "record", record)
    launch(enable_otlp=True)
    assert job() == 1
    (point,) = collected(reader)["dbos.steps.finished"].data_points
    assert point.value == 1


def test_nothing_is_passed_on_unless_asked_for(launch: Launch, reader: InMemoryMetricReader) -> None:
    launch()
    forwards: list[Callable[..., None] | None] = [
        each.forward for each in current_engine().metrics.instruments() if isinstance(each, Histogram)
    ]
    assert forwards
    assert set(forwards) == {None}
    assert collected(reader) == {}
