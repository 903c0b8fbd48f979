"""api.md §7: workflows that run by the clock, decorated or defined in the database."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dbos import (
    DBOS,
    ClientScheduleInput,
    DBOSClient,
    Queue,
    ScheduleInput,
    SetWorkflowID,
    WorkflowSchedule,
    WorkflowStatus,
    error,
)
from dbos.api.launched import current_registry, launched_engine
from dbos.model.schedule import ScheduleRow
from dbos.runtime.executor import Executor
from dbos.services.scheduler import Scheduler
from dbos.store.schedules import Schedules
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import PATIENCE_SECONDS, eventually

HOUR_MS = 3_600_000
EVERY_SECOND = "* * * * * *"
ONCE_A_YEAR = "0 0 1 1 *"


def engine() -> Executor:
    running = launched_engine()
    assert isinstance(running, Executor)
    return running


def runs_of(name: str) -> list[WorkflowStatus]:
    """The runs of ticks, in order of the ticks. A trigger is none."""
    found = DBOS.list_workflows(workflow_id_prefix=f"sched-{name}-2")
    return sorted(found, key=lambda run: datetime.fromisoformat(run.workflow_id.removeprefix(f"sched-{name}-")))


def first_two_runs_of(name: str) -> list[WorkflowStatus]:
    """Once both have succeeded: a third may be quicker than the first."""
    eventually(lambda: [run.status for run in runs_of(name)[:2]] == ["SUCCESS"] * 2)
    return runs_of(name)[:2]


def schedule(name: str) -> WorkflowSchedule:
    found = DBOS.get_schedule(name)
    assert found is not None
    return found


def set_clock(ahead_ms: int) -> None:
    """From here on the database's clock, as this process reads it, is ahead of what it was."""
    clock = engine().clock
    read_ms = clock._read_ms
    clock._read_ms = lambda: read_ms() + ahead_ms
    clock.synchronise()
    engine().waiters.wake("service", "scheduler")


@pytest.fixture
def job() -> Callable[..., Any]:
    """A workflow for schedules. Ask for it after `launch`, which empties the registry."""

    @DBOS.workflow(name="job")
    def job(scheduled_time: datetime, context: Any) -> Any:
        return scheduled_time, context

    return job


# ------------------------------------------------------------ decorated


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_decorated_workflow_runs_every_second(launch: Launch, colour: str) -> None:
    if colour == "sync":

        @DBOS.scheduled(EVERY_SECOND)
        @DBOS.workflow(name="tick")
        def tick(scheduled: datetime, actual: datetime) -> tuple[datetime, datetime]:
            return scheduled, actual
    else:

        @DBOS.scheduled(EVERY_SECOND)
        @DBOS.workflow(name="tick")
        async def tick_async(scheduled: datetime, actual: datetime) -> tuple[datetime, datetime]:
            return scheduled, actual

    launched_ms = time.time() * 1000
    launch()
    first, second = first_two_runs_of("tick")
    times = [run.output[0] for run in (first, second)]
    assert times[1] - times[0] == timedelta(seconds=1)
    for run in (first, second):
        scheduled, actual = run.output
        assert run.workflow_id == f"sched-tick-{scheduled.isoformat()}"
        assert (scheduled.tzinfo, actual.tzinfo, scheduled.microsecond) == (UTC, UTC, 0)
        assert scheduled.timestamp() * 1000 > launched_ms - 1000, "ticks begin with the launch"
        assert actual >= scheduled
        assert run.created_at is not None
        assert run.created_at >= scheduled.timestamp() * 1000, "never early"
        assert (run.schedule_name, run.queue_name) == (None, "_dbos_internal_queue")
        assert run.app_version == DBOS.application_version


def test_steps_and_static_methods_are_scheduled_too(launch: Launch) -> None:
    seen: list[str] = []

    @DBOS.scheduled(EVERY_SECOND)
    @DBOS.step(name="sweep")
    def sweep(scheduled: datetime, actual: datetime) -> None:
        seen.append("step")

    @DBOS.dbos_class()
    class Chores:
        @staticmethod
        @DBOS.scheduled(EVERY_SECOND)
        @DBOS.workflow(name="tidy")
        def tidy(scheduled: datetime, actual: datetime) -> None:
            seen.append("static")

    launch()
    eventually(lambda: {"step", "static"} <= set(seen))


def test_a_function_may_be_decorated_after_the_launch(launch: Launch) -> None:
    launch(scheduler_polling_interval_sec=1000)
    seen: list[datetime] = []

    @DBOS.scheduled(EVERY_SECOND)
    @DBOS.workflow()
    def late(scheduled: datetime, actual: datetime) -> None:
        seen.append(scheduled)

    eventually(lambda: seen)


def test_a_run_that_fails_does_not_end_the_schedule(launch: Launch) -> None:
    @DBOS.scheduled(EVERY_SECOND)
    @DBOS.workflow(name="broken")
    def broken(scheduled: datetime, actual: datetime) -> None:
        raise ValueError("again")

    launch()
    eventually(lambda: len([run for run in runs_of("broken") if run.status == "ERROR"]) >= 2)


def test_two_time_tables_of_one_function(launch: Launch) -> None:
    @DBOS.scheduled("*/2 * * * * *")
    @DBOS.scheduled("1-59/2 * * * * *")
    @DBOS.workflow(name="both")
    def both(scheduled: datetime, actual: datetime) -> None:
        pass

    launch()
    seconds = eventually(
        lambda: (found := [run.workflow_id[-8:-6] for run in runs_of("both")]) and len(found) > 2 and found
    )
    assert int(seconds[1]) - int(seconds[0]) in (1, -59)


def test_the_same_function_decorated_anew_has_the_new_time_table_only(launch: Launch) -> None:
    for cron in (EVERY_SECOND, ONCE_A_YEAR):

        @DBOS.scheduled(cron)
        @DBOS.workflow(name="anew")
        def anew(scheduled: datetime, actual: datetime) -> int:
            return 1

    launch()
    functions = engine().registry.scheduled_functions()
    assert [cron.expression for _, cron in functions] == [ONCE_A_YEAR]


def test_what_cannot_be_scheduled_is_refused_at_decoration(launch: Launch) -> None:
    for cron in ("* * * *", "61 * * * *", "", None):
        with pytest.raises(error.DBOSException, match="Invalid cron schedule"):
            DBOS.scheduled(cron)  # type: ignore[arg-type]
    with pytest.raises(error.DBOSException, match="Put @DBOS"):
        DBOS.scheduled("* * * * *")(lambda scheduled, actual: None)

    @DBOS.workflow()
    def one_argument(scheduled: datetime) -> None: ...

    with pytest.raises(error.DBOSException, match="two times"):
        DBOS.scheduled("* * * * *")(one_argument)

    with pytest.raises(error.DBOSException, match="two times"):

        class Instance:
            @DBOS.scheduled("* * * * *")
            @DBOS.workflow()
            def method(self, scheduled: datetime, actual: datetime) -> None: ...

    long = "x" * 401
    with pytest.raises(error.DBOSException, match="at most 400 bytes"):

        @DBOS.scheduled("* * * * *")
        @DBOS.workflow(name=long)
        def long_name(scheduled: datetime, actual: datetime) -> None: ...

    assert current_registry().scheduled_functions() == []


def test_croniter_is_loaded_by_the_first_expression() -> None:
    program = "import sys, dbos; before = 'croniter' in sys.modules; dbos.DBOS.scheduled('* * * * *'); print(before)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout == "False\n"


# ------------------------------------------------------------ defined in the database


def test_a_schedule_fires(launch: Launch, job: Callable[..., Any]) -> None:
    launch(scheduler_polling_interval_sec=1000)
    DBOS.create_schedule(
        schedule_name="s", workflow_fn=job, schedule=EVERY_SECOND, context={"a": [1]}, cron_timezone="America/New_York"
    )
    first, second = first_two_runs_of("s")
    for run in (first, second):
        scheduled, context = run.output
        assert run.workflow_id == f"sched-s-{scheduled.isoformat()}"
        assert scheduled.tzinfo == ZoneInfo("America/New_York")
        assert context == {"a": [1]}
        assert (run.schedule_name, run.queue_name, run.name) == ("s", "_dbos_internal_queue", "job")
        assert run.app_version == DBOS.application_version
        assert run.created_at is not None
        assert run.created_at >= scheduled.timestamp() * 1000
    assert second.output[0] - first.output[0] == timedelta(seconds=1)
    fired = schedule("s")["last_fired_at"]
    assert fired is not None
    assert f"sched-s-{fired}" in [run.workflow_id for run in runs_of("s")]
    assert {run.workflow_id for run in DBOS.list_workflows(schedule_name="s")} >= {
        first.workflow_id,
        second.workflow_id,
    }
    assert DBOS.list_workflows(schedule_name="t") == []


def test_what_a_schedule_looks_like(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    DBOS.create_schedule(schedule_name="plain", workflow_fn=job, schedule=ONCE_A_YEAR)
    found = schedule("plain")
    assert len(found.pop("schedule_id")) == 36  # type: ignore[misc]
    assert found == {
        "schedule_name": "plain",
        "workflow_name": "job",
        "workflow_class_name": None,
        "schedule": ONCE_A_YEAR,
        "status": "ACTIVE",
        "context": None,
        "last_fired_at": None,
        "automatic_backfill": False,
        "cron_timezone": None,
        "queue_name": None,
        "application_name": "test-app",
        "shard_key": None,
    }
    assert DBOS.get_schedule("other") is None


def test_runs_go_to_the_queue_of_the_schedule(launch: Launch, job: Callable[..., Any]) -> None:
    queue = Queue("nightly", concurrency=1)
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR, queue_name=queue.name)
    handle = DBOS.trigger_schedule("s")
    assert handle.get_status().queue_name == "nightly"
    assert handle.get_result() is not None


def test_class_methods_steps_and_coroutines_can_be_scheduled(launch: Launch) -> None:
    @DBOS.step(name="bare")
    def bare(scheduled: datetime, context: Any) -> str:
        return f"step {context}"

    @DBOS.workflow(name="coroutine")
    async def coroutine(scheduled: datetime, context: Any) -> str:
        return f"coroutine {context}"

    @DBOS.dbos_class("Jobs")
    class Jobs:
        word = "class"

        @classmethod
        @DBOS.workflow(name="method")
        def method(cls, scheduled: datetime, context: Any) -> str:
            return f"{cls.word} {context}"

    launch()
    for name, function in {"bare": bare, "coroutine": coroutine, "method": Jobs.method}.items():
        DBOS.create_schedule(schedule_name=name, workflow_fn=function, schedule=ONCE_A_YEAR, context=name)
    assert DBOS.trigger_schedule("bare").get_result() == "step bare"
    assert DBOS.trigger_schedule("coroutine").get_result() == "coroutine coroutine"
    assert DBOS.trigger_schedule("method").get_result() == "class method"
    assert schedule("method")["workflow_class_name"] == "Jobs"


def test_pausing_and_resuming(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=EVERY_SECOND)
    DBOS.create_schedule(schedule_name="other", workflow_fn=job, schedule=EVERY_SECOND)
    eventually(lambda: runs_of("s"))
    DBOS.pause_schedule("s")
    assert schedule("s")["status"] == "PAUSED"
    before = len(runs_of("s"))
    later = len(runs_of("other")) + 2
    eventually(lambda: len(runs_of("other")) >= later)
    assert len(runs_of("s")) <= before + 1, "one that was on its way may still come"
    paused_until = engine().store.now_ms()
    DBOS.resume_schedule("s")
    assert schedule("s")["status"] == "ACTIVE"
    count = len(runs_of("s"))
    eventually(lambda: len(runs_of("s")) > count)
    resumed = runs_of("s")[count]
    assert datetime.fromisoformat(resumed.workflow_id.removeprefix("sched-s-")).timestamp() * 1000 > paused_until - 1000
    for steer in (DBOS.pause_schedule, DBOS.resume_schedule, DBOS.delete_schedule):
        steer("unknown")


def test_deleting(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR)
    handle = DBOS.trigger_schedule("s")
    DBOS.delete_schedule("s")
    assert DBOS.get_schedule("s") is None
    assert handle.get_result() is not None
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR)


def test_a_paused_schedule_that_is_due_does_not_fire(
    launch: Launch, job: Callable[..., Any], database_url: str
) -> None:
    """Even if nobody told the scheduler: it looks once more before it fires, and plans for it no longer."""
    launch(scheduler_polling_interval_sec=1000)
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=EVERY_SECOND)
    DBOS.create_schedule(schedule_name="other", workflow_fn=job, schedule=EVERY_SECOND)
    eventually(lambda: runs_of("s"))
    run_sql(database_url, "update workflow_schedules set status = 'PAUSED' where schedule_name = 's'")
    before, later = len(runs_of("s")), len(runs_of("other")) + 3
    eventually(lambda: len(runs_of("other")) >= later)
    assert len(runs_of("s")) <= before + 1
    running = DBOS._instance and DBOS._instance._running
    assert running is not None
    assert [plan.row and plan.row.schedule_name for plan in running.scheduler._plans.values()] == ["other"]


def test_a_pause_between_the_last_look_and_the_commit_is_heeded(
    launch: Launch, job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(scheduler_polling_interval_sec=1000)
    look, paused = Scheduler._still_so, threading.Event()

    def pause_then(scheduler: Scheduler, due: Any) -> Any:
        fit = look(scheduler, due)
        if not paused.is_set() and fit:
            DBOS.pause_schedule("s")
            paused.set()
        return fit

    monkeypatch.setattr(Scheduler, "_still_so", pause_then)
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=EVERY_SECOND)
    DBOS.create_schedule(schedule_name="other", workflow_fn=job, schedule=EVERY_SECOND)
    assert paused.wait(PATIENCE_SECONDS)
    eventually(lambda: len(runs_of("other")) >= 2)
    assert (runs_of("s"), schedule("s")["last_fired_at"]) == ([], None)


def test_what_another_process_defines_is_noticed(launch: Launch, job: Callable[..., Any], database_url: str) -> None:
    launch(scheduler_polling_interval_sec=0.2, use_listen_notify=False)
    client = DBOSClient(system_database_url=database_url, application_name="test-app")
    try:
        entry: ClientScheduleInput = {"schedule_name": "s", "workflow_name": "job", "schedule": EVERY_SECOND}
        client.apply_schedules([entry])
    finally:
        client.destroy()
    eventually(lambda: runs_of("s"))


def test_a_client_keeps_schedules_by_the_names_of_workflows(
    launch: Launch, job: Callable[..., Any], database_url: str
) -> None:
    launch()
    moments = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, 3, tzinfo=UTC)
    with DBOSClient(system_database_url=database_url, application_name="test-app") as client:
        client.create_schedule(
            schedule_name="s", workflow_name="job", schedule="0 * * * *", context="x", cron_timezone="Asia/Tokyo"
        )
        assert client.get_schedule("s") == schedule("s")
        assert client.list_schedules(workflow_name="job") == DBOS.list_schedules()
        client.pause_schedule("s")
        assert schedule("s")["status"] == "PAUSED"
        assert client.trigger_schedule("s").get_result()[1] == "x"  # type: ignore[index]
        handles = client.backfill_schedule("s", *moments)
        assert [handle.get_result()[1] for handle in handles] == ["x", "x"]  # type: ignore[index]
        client.resume_schedule("s")
        with pytest.raises(error.DBOSException, match="already exists"):
            client.create_schedule(schedule_name="s", workflow_name="job", schedule=ONCE_A_YEAR)
        with pytest.raises(error.DBOSException, match="missing required field 'workflow_name'"):
            client.apply_schedules([{"schedule_name": "s", "schedule": ONCE_A_YEAR}])  # type: ignore[typeddict-item]
        for name in ("", None, 5, "a\0"):
            with pytest.raises(error.DBOSException, match="workflow_name of a schedule must be a name"):
                client.create_schedule(schedule_name="t", workflow_name=name, schedule=ONCE_A_YEAR)  # type: ignore[arg-type]
        client.delete_schedule("s")
        assert DBOS.list_schedules() == []

        async def in_async_style() -> None:
            await client.create_schedule_async(schedule_name="a", workflow_name="job", schedule="0 * * * *", context=1)
            await client.apply_schedules_async(
                [{"schedule_name": "b", "workflow_name": "job", "schedule": ONCE_A_YEAR}]
            )
            assert [each["schedule_name"] for each in await client.list_schedules_async()] == ["a", "b"]
            await client.pause_schedule_async("a")
            await client.resume_schedule_async("a")
            handle = await client.trigger_schedule_async("a")
            assert (await handle.get_result())[1] == 1  # type: ignore[func-returns-value,index]
            assert len(await client.backfill_schedule_async("a", *moments)) == 2
            await client.delete_schedule_async("a")
            assert await client.get_schedule_async("a") is None

        asyncio.run(in_async_style())


# ------------------------------------------------------------ what was missed


@pytest.mark.parametrize("backfills", [True, False])
def test_after_a_restart(launch: Launch, job: Callable[..., Any], database_url: str, backfills: bool) -> None:
    launch()
    DBOS.create_schedule(
        schedule_name="s",
        workflow_fn=job,
        schedule="0 * * * *",
        automatic_backfill=backfills,
        cron_timezone="Asia/Tokyo",
    )
    now_ms = engine().store.now_ms()
    run_sql(database_url, "update workflow_schedules set last_fired_at_ms = ?, active_since = 1", now_ms - 3 * HOUR_MS)
    launch()
    if backfills:
        eventually(lambda: len(runs_of("s")) >= 3)
        hours = [datetime.fromisoformat(run.workflow_id.removeprefix("sched-s-")) for run in runs_of("s")]
        assert all(b - a == timedelta(hours=1) for a, b in pairwise(hours))
        assert len(hours) in (3, 4), "one more if the hour was full meanwhile"
        assert eventually(lambda: schedule("s")["last_fired_at"]) == hours[-1].isoformat()
    else:
        DBOS.create_schedule(schedule_name="t", workflow_fn=job, schedule=EVERY_SECOND)
        eventually(lambda: runs_of("t"))
        assert len(runs_of("s")) <= 1, "the hour may be full this very moment"


def test_a_schedule_that_backfills_makes_up_for_its_pause(
    launch: Launch, job: Callable[..., Any], database_url: str
) -> None:
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule="0 * * * *", automatic_backfill=True)
    DBOS.pause_schedule("s")
    now_ms = engine().store.now_ms()
    run_sql(database_url, "update workflow_schedules set last_fired_at_ms = ?", now_ms - 2 * HOUR_MS)
    assert runs_of("s") == []
    DBOS.resume_schedule("s")
    eventually(lambda: len(runs_of("s")) >= 2)


def test_a_long_absence_is_made_up_for_in_batches(
    launch: Launch, job: Callable[..., Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbos.services.scheduler.BATCH", 7)
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule="* * * * *", automatic_backfill=True)
    now_ms = engine().store.now_ms()
    run_sql(database_url, "update workflow_schedules set last_fired_at_ms = ?", now_ms - HOUR_MS // 2)
    launch()
    eventually(lambda: len(runs_of("s")) >= 30)


def test_many_that_are_due_at_once_cost_one_commit_per_batch(
    launch: Launch, job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each is looked at once more, however many there are."""
    monkeypatch.setattr("dbos.services.scheduler.BATCH", 20)
    launch(use_listen_notify=False)  # the news would be counted, one transaction or more
    running = DBOS._instance and DBOS._instance._running
    assert running is not None
    for service in running.services:  # whose questions are not counted
        service.stop()
    here = engine()
    scheduler = Scheduler(here, polling_seconds=1000)
    DBOS.apply_schedules(
        [{"schedule_name": f"s{number}", "workflow_fn": job, "schedule": "0 * * * *"} for number in range(50)]
    )
    assert scheduler.poll() > 0
    counters = here.store.journal.counters
    until_hour_ms = HOUR_MS - here.clock.now_ms() % HOUR_MS + 1000  # it may be read a little later than now
    scheduler._clock_seen = scheduler._clock_seen[0], scheduler._clock_seen[1] - until_hour_ms / 1000  # an hour of life
    set_clock(until_hour_ms)
    looked_at: list[int] = []
    look = Schedules.load_many

    def count(schedules: Schedules, names: Sequence[str]) -> list[ScheduleRow]:
        looked_at.append(len(names))
        return look(schedules, names)

    monkeypatch.setattr(Schedules, "load_many", count)
    commits, queries = counters.commits, counters.queries
    assert [scheduler.poll() > 0 for _ in range(3)] == [False, False, True]
    assert looked_at == [20, 20, 10]
    assert counters.commits - commits == 3
    assert counters.queries - queries == 6, "the schedules, and the latest version"
    assert len(DBOS.list_workflows(workflow_id_prefix="sched-")) == 50


def test_a_clock_that_is_set_forward_leaves_ticks_out(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    for name, backfills in (("strict", False), ("thorough", True)):
        DBOS.create_schedule(schedule_name=name, workflow_fn=job, schedule="0 * * * *", automatic_backfill=backfills)
    DBOS.create_schedule(schedule_name="pulse", workflow_fn=job, schedule=EVERY_SECOND)
    eventually(lambda: runs_of("pulse"))
    begun = engine().clock.now_ms()
    set_clock(5 * HOUR_MS)
    eventually(lambda: len(runs_of("thorough")) >= 5)
    eventually(lambda: _ms_of(runs_of("pulse")[-1], "pulse") > begun + 5 * HOUR_MS)
    assert len(runs_of("strict")) <= 1
    assert len(runs_of("pulse")) < 100


def _ms_of(run: WorkflowStatus, name: str) -> float:
    return datetime.fromisoformat(run.workflow_id.removeprefix(f"sched-{name}-")).timestamp() * 1000


def test_a_clock_that_is_set_back_repeats_nothing(launch: Launch, database_url: str) -> None:
    seen: list[tuple[str, datetime]] = []

    @DBOS.workflow()
    def note(scheduled: datetime, context: Any) -> None:
        seen.append((context, scheduled))

    @DBOS.scheduled(EVERY_SECOND)
    @DBOS.workflow()
    def note_too(scheduled: datetime, actual: datetime) -> None:
        seen.append(("decorated", scheduled))

    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=note, schedule=EVERY_SECOND, context="stored")
    eventually(lambda: {"stored", "decorated"} <= {name for name, _ in seen})
    set_clock(-5_000)  # by a little: what was read before counts
    set_clock(-2 * HOUR_MS)
    back = datetime.now(UTC) - timedelta(hours=1)
    eventually(lambda: {"stored", "decorated"} <= {name for name, scheduled in seen if scheduled < back})
    set_clock(2 * HOUR_MS + 5_000)
    count = len(seen)
    eventually(lambda: len(seen) >= count + 4)
    assert len(seen) == len(set(seen))


def test_a_new_schedule_is_seen_at_once_though_the_scheduler_is_slow(
    launch: Launch, job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is woken before a tick, and comes to look when that is due: it was woken all the same."""
    poll = Scheduler.poll

    def poll_late(scheduler: Scheduler) -> float:
        time.sleep(1.1)
        return poll(scheduler)

    monkeypatch.setattr(Scheduler, "poll", poll_late)
    launch(scheduler_polling_interval_sec=600)
    for name in ("first", "second"):
        DBOS.create_schedule(schedule_name=name, workflow_fn=job, schedule=EVERY_SECOND)
        eventually(lambda name=name: runs_of(name))  # type: ignore[misc]


# ------------------------------------------------------------ out of turn


def test_triggering(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    DBOS.create_schedule(
        schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR, context="x", cron_timezone="Asia/Tokyo"
    )
    DBOS.pause_schedule("s")
    handles = [DBOS.trigger_schedule("s") for _ in range(3)]
    assert len({handle.workflow_id for handle in handles}) == 3
    for handle in handles:
        scheduled, context = handle.get_result()  # type: ignore[misc]
        assert handle.workflow_id == f"sched-s-trigger-{scheduled.isoformat(timespec='microseconds')}"
        assert (scheduled.tzinfo, context) == (UTC, "x")
        assert abs(datetime.now(UTC) - scheduled) < timedelta(seconds=30)
        assert handle.get_status().schedule_name == "s"
    assert schedule("s")["last_fired_at"] is None


def test_backfilling(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule="0 * * * *", context="x")
    start, end = datetime(2025, 1, 1), datetime(2025, 1, 1, 3)  # noqa: DTZ001  # naive: UTC
    handles = DBOS.backfill_schedule("s", start, end)
    ids = ["sched-s-2025-01-01T01:00:00+00:00", "sched-s-2025-01-01T02:00:00+00:00"]
    assert [handle.workflow_id for handle in handles] == ids
    assert [handle.get_result() for handle in handles] == [
        (datetime(2025, 1, 1, hour, tzinfo=UTC), "x") for hour in (1, 2)
    ]
    again = DBOS.backfill_schedule("s", start.replace(tzinfo=UTC), end.replace(tzinfo=ZoneInfo("America/New_York")))
    assert [handle.workflow_id for handle in again[:2]] == ids
    assert len(again) == 7
    assert [handle.get_status().recovery_attempts for handle in again[:2]] == [1, 1]
    assert DBOS.backfill_schedule("s", end, start) == []
    assert schedule("s")["last_fired_at"] is None


def test_a_backfill_goes_by_the_wall_clock(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule="30 2 * * *", cron_timezone="America/New_York")
    handles = DBOS.backfill_schedule("s", datetime(2025, 3, 8, tzinfo=UTC), datetime(2025, 3, 11, tzinfo=UTC))
    assert [handle.workflow_id for handle in handles] == [
        "sched-s-2025-03-08T02:30:00-05:00",
        "sched-s-2025-03-09T03:00:00-04:00",
        "sched-s-2025-03-10T02:30:00-04:00",
    ]
    assert [str(handle.get_result()[0]) for handle in handles[:1]] == ["2025-03-08 02:30:00-05:00"]  # type: ignore[index]


def test_everything_in_async_style(launch: Launch) -> None:
    @DBOS.workflow(name="job")
    async def job(scheduled: datetime, context: Any) -> Any:
        return context

    async def main() -> None:
        entry: ScheduleInput = {"schedule_name": "b", "workflow_fn": job, "schedule": ONCE_A_YEAR, "context": 2}
        await DBOS.create_schedule_async(schedule_name="a", workflow_fn=job, schedule=ONCE_A_YEAR, context=1)
        await DBOS.apply_schedules_async([entry])
        assert [each["schedule_name"] for each in await DBOS.list_schedules_async()] == ["a", "b"]
        await DBOS.pause_schedule_async("a")
        paused = await DBOS.get_schedule_async("a")
        assert paused is not None
        assert paused["status"] == "PAUSED"
        handle = await DBOS.trigger_schedule_async("a")
        assert await handle.get_result() == 1  # type: ignore[func-returns-value]
        await DBOS.resume_schedule_async("a")
        handles = await DBOS.backfill_schedule_async(
            "b", datetime(2020, 6, 1, tzinfo=UTC), datetime(2022, 6, 1, tzinfo=UTC)
        )
        assert [await each.get_result() for each in handles] == [2, 2]  # type: ignore[func-returns-value]
        await DBOS.delete_schedule_async("a")
        assert await DBOS.get_schedule_async("a") is None

    launch()
    asyncio.run(main())


# ------------------------------------------------------------ listing and applying


def test_listing(launch: Launch, job: Callable[..., Any]) -> None:
    @DBOS.workflow(name="other")
    def other(scheduled: datetime, context: Any) -> None: ...

    launch()
    for name, function in {"a1": job, "a2": other, "b%": job}.items():
        DBOS.create_schedule(schedule_name=name, workflow_fn=function, schedule=ONCE_A_YEAR)
    DBOS.pause_schedule("a2")

    def names(**filters: Any) -> list[str]:
        return [each["schedule_name"] for each in DBOS.list_schedules(**filters)]

    assert names() == ["a1", "a2", "b%"]
    assert names(status="PAUSED") == ["a2"]
    assert names(status=["PAUSED", "ACTIVE"]) == ["a1", "a2", "b%"]
    assert names(status="unheard-of") == []
    assert names(workflow_name="other") == ["a2"]
    assert names(workflow_name=["other", "job"], schedule_name_prefix="a") == ["a1", "a2"]
    assert names(schedule_name_prefix=["b%", "a1"]) == ["a1", "b%"]
    assert names(schedule_name_prefix="%") == []
    assert names(application_name="test-app") == ["a1", "a2", "b%"]
    assert names(application_name="another") == []


def test_applying(launch: Launch, job: Callable[..., Any]) -> None:
    launch()
    full: ScheduleInput = {
        "schedule_name": "s", "workflow_fn": job, "schedule": ONCE_A_YEAR, "context": 1,
        "automatic_backfill": True, "cron_timezone": "Asia/Tokyo", "queue_name": "_dbos_internal_queue",
    }  # fmt: skip
    DBOS.apply_schedules([full])
    DBOS.pause_schedule("s")
    before = schedule("s")
    assert (before["automatic_backfill"], before["cron_timezone"]) == (True, "Asia/Tokyo")
    bare: ScheduleInput = {"schedule_name": "s", "workflow_fn": job, "schedule": "1 0 1 1 *"}
    DBOS.apply_schedules([bare])
    after = schedule("s")
    assert after == {
        **before, "schedule": "1 0 1 1 *", "context": None, "automatic_backfill": False,
        "cron_timezone": None, "queue_name": None,
    }  # fmt: skip
    DBOS.apply_schedules([bare, {**bare, "context": "last wins"}])
    assert schedule("s")["context"] == "last wins"
    DBOS.apply_schedules([])
    with pytest.raises(error.DBOSException, match="Invalid cron schedule"):
        DBOS.apply_schedules([{**bare, "schedule_name": "fine"}, {**bare, "schedule": "nonsense"}])
    assert [each["schedule_name"] for each in DBOS.list_schedules()] == ["s"]


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([{"schedule_name": "s", "schedule": "* * * * *"}], "entry 0 is missing required field 'workflow_fn'"),
        ([{"workflow_fn": print, "schedule": "* * * * *"}], "entry 0 is missing required field 'schedule_name'"),
        ([{"schedule_name": "s", "workflow_fn": print}], "entry 0 is missing required field 'schedule'"),
        ([{"schedule_name": "s", "workflow_fn": print, "schedule": "x", "colour": 1}], "unknown field 'colour'"),
        (["s"], "entry 0 must be a dict"),
        ("s", "a list of dicts"),
        (None, "a list of dicts"),
        ({"schedule_name": "s"}, "a list of dicts"),
    ],
)
def test_entries_that_are_none(launch: Launch, entries: Any, problem: str) -> None:
    launch()
    with pytest.raises(error.DBOSException, match=problem):
        DBOS.apply_schedules(entries)
    assert DBOS.list_schedules() == []


# ------------------------------------------------------------ in workflows


def test_calls_in_a_workflow_are_steps(launch: Launch, job: Callable[..., Any], replay: Replay) -> None:
    answers: list[Any] = []

    @DBOS.workflow()
    def keeper() -> None:
        DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR, context={"a": 1})
        DBOS.pause_schedule("s")
        found = DBOS.get_schedule("s")
        listed = DBOS.list_schedules(schedule_name_prefix="s")
        DBOS.resume_schedule("s")
        try:
            DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR)
            refusal = ""
        except error.DBOSException as taken:
            refusal = str(taken)
        DBOS.delete_schedule("s")
        answers.append((found, listed, DBOS.get_schedule("s"), refusal))

    launch()
    with SetWorkflowID("w"):
        keeper()
    assert [step["function_name"] for step in DBOS.list_workflow_steps("w")] == [
        "DBOS.createSchedule",
        "DBOS.pauseSchedule",
        "DBOS.getSchedule",
        "DBOS.listSchedules",
        "DBOS.resumeSchedule",
        "DBOS.createSchedule",
        "DBOS.deleteSchedule",
        "DBOS.getSchedule",
    ]
    found, listed, gone, refusal = answers[0]
    assert (found["status"], found["context"]) == ("PAUSED", {"a": 1})
    assert listed == [found]
    assert gone is None
    assert "Schedule 's' already exists" in refusal
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR, context="of somebody else")
    replay("w").get_result()
    assert answers[1] == answers[0]
    assert schedule("s")["context"] == "of somebody else", "a replay changes nothing"


def test_what_is_no_step_is_refused_in_a_workflow(launch: Launch, job: Callable[..., Any]) -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)

    @DBOS.step()
    def allowed() -> str:
        return DBOS.trigger_schedule("s").workflow_id

    @DBOS.workflow()
    def tries() -> str:
        for call in (
            lambda: DBOS.apply_schedules([]),
            lambda: DBOS.trigger_schedule("s"),
            lambda: DBOS.backfill_schedule("s", moment, moment),
        ):
            with pytest.raises(error.DBOSException, match="cannot be called from the workflow"):
                call()
        return allowed()

    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR)
    assert tries().startswith("sched-s-trigger-")


# ------------------------------------------------------------ bad input


def test_definitions_that_cannot_work(launch: Launch, job: Callable[..., Any]) -> None:
    Queue("parted", partition_queue=True)

    @DBOS.scheduled(ONCE_A_YEAR)
    @DBOS.workflow(name="decorated")
    def decorated(scheduled: datetime, actual: datetime) -> None: ...

    @DBOS.workflow()
    def lonely(scheduled: datetime) -> None: ...

    @DBOS.dbos_class()
    class Jobs:
        def __init__(self) -> None:
            self.config_name = "one"

        @DBOS.workflow()
        def method(self, scheduled: datetime, context: Any) -> None: ...

    def refused(match: str, kind: type[Exception] = error.DBOSException, **changes: Any) -> None:
        wanted = {"schedule_name": "new", "workflow_fn": job, "schedule": ONCE_A_YEAR, **changes}
        with pytest.raises(kind, match=match):
            DBOS.create_schedule(**wanted)
        with pytest.raises(kind, match=match):
            DBOS.apply_schedules([wanted])  # type: ignore[list-item]

    launch()
    DBOS.create_schedule(schedule_name="taken", workflow_fn=job, schedule=ONCE_A_YEAR)
    with pytest.raises(error.DBOSException, match="Schedule 'taken' already exists"):
        DBOS.create_schedule(schedule_name="taken", workflow_fn=job, schedule=ONCE_A_YEAR)
    refused("Invalid cron schedule: '\\* \\* \\*'", schedule="* * *")
    refused("it never fires", schedule="0 0 31 2 *")
    refused("Invalid timezone: 'Mars/X'", cron_timezone="Mars/X")
    refused("Queue 'nowhere' is not declared", queue_name="nowhere")
    refused("partitioned", queue_name="parted")
    refused("name of a queue", queue_name=5)
    refused("True or False", automatic_backfill="yes")
    refused("non-empty str", schedule_name="")
    refused("non-empty str", schedule_name=None)
    refused("NUL", schedule_name="a\0")
    refused("at most 400 bytes", schedule_name="a" * 401)
    refused("is a function that is decorated", schedule_name="decorated")
    refused("a method of an instance", workflow_fn=Jobs.method)
    refused("takes the scheduled time and the context", workflow_fn=lonely)
    refused("is not a DBOS function", error.DBOSWorkflowFunctionNotFoundError, workflow_fn=print)
    refused("context of schedule 'new'", error.DBOSSerializationError, context=lambda: None)
    for call in (DBOS.get_schedule, DBOS.pause_schedule, DBOS.resume_schedule, DBOS.delete_schedule):
        with pytest.raises(error.DBOSException, match="name of a schedule"):
            call(None)  # type: ignore[arg-type]
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    with pytest.raises(error.DBOSException, match="Schedule 'unknown' does not exist"):
        DBOS.trigger_schedule("unknown")
    with pytest.raises(error.DBOSException, match="Schedule 'unknown' does not exist"):
        DBOS.backfill_schedule("unknown", moment, moment)
    with pytest.raises(error.DBOSException, match="start must be a datetime"):
        DBOS.backfill_schedule("taken", "2025-01-01", moment)  # type: ignore[arg-type]
    with pytest.raises(error.DBOSException, match="end must be a datetime"):
        DBOS.backfill_schedule("taken", moment, 5)  # type: ignore[arg-type]
    assert [each["schedule_name"] for each in DBOS.list_schedules()] == ["taken"]


def test_a_schedule_whose_time_cannot_be_stored_is_refused(launch: Launch, job: Callable[..., Any]) -> None:
    launch(allow_pickle=False)
    with pytest.raises(error.DBOSSerializationError, match=r"args\[0\]"):
        DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR)
    assert DBOS.list_schedules() == []


def test_the_schedule_of_another_application_is_left_alone(
    launch: Launch, job: Callable[..., Any], database_url: str
) -> None:
    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR)
    run_sql(database_url, "update workflow_schedules set application_name = 'another'")
    assert DBOS.get_schedule("s") is None
    assert DBOS.list_schedules() == []
    assert [each["schedule_name"] for each in DBOS.list_schedules(application_name="another")] == ["s"]
    for steer in (DBOS.pause_schedule, DBOS.delete_schedule):
        steer("s")
    assert run_sql(database_url, "select status from workflow_schedules") == [("ACTIVE",)]
    with pytest.raises(error.DBOSException, match="already exists"):
        DBOS.create_schedule(schedule_name="s", workflow_fn=job, schedule=ONCE_A_YEAR)
    with pytest.raises(error.DBOSException, match="belongs to another application"):
        DBOS.apply_schedules([{"schedule_name": "s", "workflow_fn": job, "schedule": ONCE_A_YEAR}])
    with pytest.raises(error.DBOSException, match="does not exist"):
        DBOS.trigger_schedule("s")


def test_a_context_that_cannot_be_read_hides_nothing(
    launch: Launch, job: Callable[..., Any], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    launch()
    for name in ("bad", "good"):
        DBOS.create_schedule(schedule_name=name, workflow_fn=job, schedule=EVERY_SECOND)
    run_sql(database_url, "update workflow_schedules set context = 'nonsense' where schedule_name = 'bad'")
    with caplog.at_level(logging.ERROR, logger="dbos"):
        count = len(runs_of("good"))
        eventually(lambda: len(runs_of("good")) >= count + 3)
    assert [each["context"] for each in DBOS.list_schedules()] == ["nonsense", None]
    complaints = [record for record in caplog.records if "scheduled run of bad" in record.getMessage()]
    assert len(complaints) <= 1, "once is enough"
