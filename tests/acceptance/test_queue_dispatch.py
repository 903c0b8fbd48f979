"""Queues as they are served: limits hold while things run, slots are handed on at once, and nothing waits silently.

Where a test is about a wake-up, its queue is polled once in five minutes: the floor does not help.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from dbos import (
    DBOS,
    DBOSClient,
    EnqueueOptions,
    Queue,
    SetEnqueueOptions,
    SetWorkflowID,
    SetWorkflowTimeout,
    WorkflowHandle,
    error,
)
from dbos.api.launched import current_registry, launched_engine
from dbos.model.queue import QueueSpec
from dbos.runtime.executor import Executor
from dbos.runtime.openings import Opening
from dbos.runtime.served import Look
from dbos.services import dispatcher
from dbos.services.dispatcher import Dispatcher
from dbos.services.lookout import Lookout
from dbos.store.claims import Claim, Claims
from dbos.store.database import StoreSettings
from dbos.store.store import Store
from tests.store.records import start as start_record
from tests.support.fixture_types import Launch
from tests.support.proxy import PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.waiting import PATIENCE_SECONDS, Gate, at_best, eventually

NEVER_POLLED = 300.0


def executor() -> Executor:
    engine = launched_engine()
    assert isinstance(engine, Executor)
    return engine


def waits_on(queue_name: str) -> bool:
    """Is anything ENQUEUED there?"""
    queues = executor().store.claims.survey("test-app", [queue_name]).queues
    return any(queue.waiting for queue in queues if queue.name == queue_name)


def statuses(handles: list[WorkflowHandle]) -> list[str]:
    return [handle.get_status().status for handle in handles]


@contextmanager
def serving_nothing(launch: Launch) -> Iterator[None]:
    """What is enqueued within the block waits for the next launch of version 1."""
    current_registry().listened_queues = ()
    launch(application_version="1")
    yield
    DBOS.destroy()  # before what it serves changes under it
    current_registry().listened_queues = None


@pytest.fixture
def gated() -> tuple[Gate, Callable[[int], int]]:
    """A workflow that waits at a gate."""
    gate = Gate()

    @DBOS.workflow()
    def work(number: int) -> int:
        gate.pass_through()
        return number

    return gate, work


Gated = tuple[Gate, Callable[[int], int]]


@pytest.fixture
def further_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits for some more looks at what waits in vain. They follow each other closely."""
    look, looks = Lookout.poll, list[float]()

    def noted(self: Lookout) -> float:
        looks.append(look(self))
        return 0.02

    def wait() -> None:
        before = len(looks)
        eventually(lambda: len(looks) > before + 2)

    monkeypatch.setattr(Lookout, "poll", noted)
    return wait


# ------------------------------------------------------------ serving


def test_many_are_drained_each_once(launch: Launch) -> None:
    queue = Queue("q")
    began: list[int] = []

    @DBOS.workflow()
    def work(number: int) -> int:
        began.append(number)
        return number

    @DBOS.workflow()
    async def work_async(number: int) -> int:
        began.append(number)
        return number

    launch()
    handles = [queue.enqueue(work if n % 2 else work_async, n) for n in range(60)]
    assert [handle.get_result() for handle in handles] == list(range(60))
    assert sorted(began) == list(range(60))
    status = handles[0].get_status()
    assert (status.queue_name, status.executor_id, status.recovery_attempts) == ("q", "local", 1)
    assert status.dequeued_at is not None


def test_order_of_what_waited_before_the_launch(launch: Launch) -> None:
    queue = Queue("q", concurrency=1, priority_enabled=True)
    began: list[int] = []

    @DBOS.workflow()
    def work(number: int) -> None:
        began.append(number)

    with serving_nothing(launch):
        for number, priority in ((1, 5), (2, None), (3, 1), (4, 5), (5, None)):
            with SetEnqueueOptions(priority=priority):
                queue.enqueue(work, number)
    launch(application_version="1")
    eventually(lambda: len(began) == 5)
    assert began == [2, 5, 3, 1, 4]


def test_only_the_queues_listened_to(launch: Launch) -> None:
    served, other = Queue("served"), Queue("other")

    @DBOS.workflow()
    def work() -> str:
        return "done"

    current_registry().listened_queues = ("served",)
    launch()
    waiting = other.enqueue(work)
    assert served.enqueue(work).get_result() == "done"
    assert waiting.get_status().status == "ENQUEUED"
    DBOS.resume_workflow(waiting.get_workflow_id())  # on the internal queue, which everybody serves
    assert waiting.get_result() == "done"


def test_a_queue_declared_after_the_launch_is_served(launch: Launch) -> None:
    @DBOS.workflow()
    def work() -> str:
        return "done"

    launch()
    assert Queue("late").enqueue(work).get_result() == "done"


def test_a_queue_of_the_database_is_served_and_wins_over_a_declared_one(launch: Launch, gated: Gated) -> None:
    gate, work = gated
    declared = Queue("q", concurrency=5)
    launch()
    with gate:
        executor().store.queues.register(
            QueueSpec("q", concurrency=1, application_name="test-app"), "always_update", ""
        )
        handles = [declared.enqueue(work, n) for n in range(3)]
        eventually(lambda: gate.passes == 1)
        assert sorted(statuses(handles)) == ["ENQUEUED", "ENQUEUED", "PENDING"]
    assert [handle.get_result() for handle in handles] == [0, 1, 2]


def test_a_queue_of_another_application_is_not_served(launch: Launch) -> None:
    @DBOS.workflow()
    def work() -> None:
        pass

    launch()
    executor().store.queues.register(QueueSpec("theirs", application_name="other"), "always_update", "")
    executor().store.queues.register(QueueSpec("nobody's"), "always_update", "")
    waiting = DBOS.enqueue_workflow("theirs", work)
    DBOS.enqueue_workflow("nobody's", work).get_result()
    assert waiting.get_status().status == "ENQUEUED"


# ------------------------------------------------------------ limits and wake-ups


@pytest.mark.parametrize("limits", [{"concurrency": 2}, {"worker_concurrency": 2}])
def test_a_slot_that_frees_here_is_taken_at_once(launch: Launch, gated: Gated, limits: dict[str, int]) -> None:
    gate, work = gated
    queue = Queue("q", polling_interval_sec=NEVER_POLLED, **limits)  # type: ignore[arg-type]
    launch()
    with gate:
        handles = [queue.enqueue(work, n) for n in range(6)]
        eventually(lambda: gate.passes == 2)
        assert statuses(handles).count("PENDING") == 2
    assert [handle.get_result() for handle in handles] == list(range(6))


def test_a_slot_that_frees_while_there_is_no_room_here_is_taken_when_there_is(
    launch: Launch, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, work = gated
    queue = Queue("q", concurrency=1, polling_interval_sec=NEVER_POLLED)
    launch()
    room, full, turned_away = Dispatcher._room, threading.Event(), threading.Event()

    def room_unless_full(dispatcher: Dispatcher) -> int:
        if not full.is_set():
            return room(dispatcher)
        turned_away.set()
        return 0

    monkeypatch.setattr(Dispatcher, "_room", room_unless_full)
    with gate:
        first = queue.enqueue(work, 1)
        eventually(lambda: gate.passes == 1)
        full.set()
        second = queue.enqueue(work, 2)
        assert turned_away.wait(PATIENCE_SECONDS)
        turned_away.clear()
    assert first.get_result() == 1
    assert turned_away.wait(PATIENCE_SECONDS)
    full.clear()
    assert second.get_result() == 2


def test_no_more_is_claimed_than_can_begin_soon(launch: Launch, gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, work = gated
    queue = Queue("q")
    limits = {"SMALLEST_BATCH": 2, "BATCH": 4, "ROOM": 10, "MOMENT_SECONDS": NEVER_POLLED}
    for name, value in limits.items():
        monkeypatch.setattr(dispatcher, name, value)
    room, answers = Dispatcher._room, list[int]()

    def noted(self: Dispatcher) -> int:
        answer = room(self)
        answers.append(answer)
        return answer

    monkeypatch.setattr(Dispatcher, "_room", noted)
    launch()
    with gate:
        handles = [queue.enqueue(work, n) for n in range(14)]
        eventually(lambda: statuses(handles).count("PENDING") > 8)
        answers.clear()
        eventually(lambda: 0 in answers)
        assert statuses(handles).count("PENDING") <= 10
    assert [handle.get_result() for handle in handles] == list(range(14))
    assert max(answers) <= 4


def test_a_slot_is_handed_on_in_its_partition(launch: Launch, gated: Gated) -> None:
    gate, work = gated
    queue = Queue("q", partition_queue=True, concurrency=1, polling_interval_sec=NEVER_POLLED)
    launch()
    handles = []
    with gate:
        for n in range(6):
            with SetEnqueueOptions(queue_partition_key="ab"[n % 2]):
                handles.append(queue.enqueue(work, n))
        eventually(lambda: gate.passes == 2)
        assert statuses(handles) == ["PENDING"] * 2 + ["ENQUEUED"] * 4
    assert [handle.get_result() for handle in handles] == list(range(6))


class Looks:
    """The claims of this process from "q". After `disturb`, somebody else claims by the same limits at the next one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fruitless = threading.Event()
        self.disturbed = threading.Event()
        self._lock = threading.Lock()  # guards _disturbs, and keeps it as it is while this process claims
        self._disturbs = False
        self._claim = executor().store.claims.claim
        monkeypatch.setattr(executor().store.claims, "claim", self.look)

    def look(self, spec: QueueSpec, *arguments: Any, **options: Any) -> Claim:
        with self._lock:
            if spec.name == "q" and self._disturbs:
                self._disturbs = False
                self.disturbed.set()
                return Claim([], contended=True)
            answer = self._claim(spec, *arguments, **options)
        if spec.name == "q" and not answer.rows:
            self.fruitless.set()
        return answer

    def disturb(self) -> None:
        assert self.fruitless.wait(PATIENCE_SECONDS)
        with self._lock:
            self._disturbs = True


def test_a_slot_that_frees_in_a_partition_while_somebody_else_claims_is_taken_at_once(
    launch: Launch, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, work = gated
    queue = Queue("q", partition_queue=True, concurrency=1, polling_interval_sec=NEVER_POLLED)
    launch()
    monkeypatch.setattr(dispatcher, "SPACING", 1e9)  # a look that brings nothing is not repeated
    with gate, SetEnqueueOptions(queue_partition_key="a"):
        first = queue.enqueue(work, 1)
        eventually(lambda: gate.passes == 1)
        looks = Looks(monkeypatch)
        second = queue.enqueue(work, 2)
        looks.disturb()
    assert [first.get_result(), second.get_result()] == [1, 2]
    assert looks.disturbed.is_set()


def test_a_slot_that_is_of_no_use_here_is_handed_on_though_somebody_else_claims(
    launch: Launch, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, work = gated
    queue = Queue("q", concurrency=1, polling_interval_sec=NEVER_POLLED)
    launch()
    told: list[str] = []
    with gate:
        first = queue.enqueue(work, 1)
        eventually(lambda: gate.passes == 1)
        looks, publish = Looks(monkeypatch), executor().store.hints.publish

        def note(kind: str, ids: Iterable[str]) -> None:
            names = list(ids)
            if kind == "enqueued" and looks.disturbed.is_set():
                told.extend(names)
            publish(kind, names)

        monkeypatch.setattr(executor().store.hints, "publish", note)
        with SetEnqueueOptions(app_version="another"):
            queue.enqueue(work, 2)
        looks.disturb()
    assert first.get_result() == 1
    eventually(lambda: told == ["q"])


def test_a_delay_that_ends_is_news_of_its_queue(launch: Launch, gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, work = gated
    queue = Queue("q", partition_queue=True, concurrency=1, polling_interval_sec=NEVER_POLLED)
    launch()
    monkeypatch.setattr(dispatcher, "SPACING", 1e9)  # a look that brings nothing is not repeated
    with gate:
        with SetEnqueueOptions(queue_partition_key="full"):
            handles = [queue.enqueue(work, n) for n in range(2)]
        eventually(lambda: gate.passes == 1)
        with SetEnqueueOptions(queue_partition_key="free", delay_seconds=0.2):
            handles.append(queue.enqueue(work, 2))
        eventually(lambda: gate.passes == 2)
    assert [handle.get_result() for handle in handles] == [0, 1, 2]


@pytest.fixture
def endless(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Launched, and there is a queue on which more waits however much is claimed, and nobody looks at the others."""
    Queue("endless", polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def work_for_others() -> None:
        pass

    serve = Dispatcher._serve
    served = threading.Event()

    def serve_endlessly(self: Dispatcher, there: dispatcher.Served, news: Opening | None) -> bool:
        if there.spec.name != "endless":
            return serve(self, there, news)
        served.set()
        return True

    monkeypatch.setattr(Dispatcher, "_serve", serve_endlessly)
    launch()
    monkeypatch.setattr(dispatcher, "MOMENT_SECONDS", NEVER_POLLED)
    with SetEnqueueOptions(app_version="another"):
        DBOS.enqueue_workflow("endless", work_for_others)
    assert served.wait(PATIENCE_SECONDS)


@pytest.mark.usefixtures("endless")
def test_a_delay_ends_while_another_queue_has_no_end() -> None:
    """Who knows that more waits goes on without looking at the queues, but not past the end of a delay."""
    queue = Queue("delayed", polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def work() -> None:
        pass

    with SetEnqueueOptions(delay_seconds=0.5):
        handle = queue.enqueue(work)
    eventually(lambda: handle.get_status().status == "SUCCESS")


@pytest.mark.usefixtures("endless")
def test_a_rate_limit_lets_them_begin_while_another_queue_has_no_end() -> None:
    queue = Queue("limited", limiter={"limit": 1, "period": 0.3}, polling_interval_sec=NEVER_POLLED)
    began: list[int] = []

    @DBOS.workflow()
    def work(number: int) -> None:
        began.append(number)

    for number in range(3):
        queue.enqueue(work, number)
    eventually(lambda: sorted(began) == [0, 1, 2])


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_delay_that_is_over_and_held_by_somebody_else_is_not_asked_for_without_a_pause(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, database_url: str, room: bool
) -> None:
    queue = Queue("q", polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def work() -> str:
        return "done"

    launch()
    promote, asked = Claims.promote_delayed, list[float]()

    def noted(self: Claims) -> list[str]:
        asked.append(time.monotonic())
        return promote(self)

    with psycopg.connect(database_url) as holder, monkeypatch.context() as patch:
        patch.setattr(Claims, "promote_delayed", lambda _: [])  # until it is held
        with SetEnqueueOptions(delay_seconds=0.3):
            delayed = queue.enqueue(work)
        holder.execute("select 1 from dbos.workflow_status where status = 'DELAYED' for update")
        if not room:
            patch.setattr(Dispatcher, "_room", lambda _: 0)
        waiting = queue.enqueue(work)
        patch.setattr(Claims, "promote_delayed", noted)
        eventually(lambda: len(asked) > 10)
        assert asked[10] - asked[0] > 9 * dispatcher.HELD_MS / 1000
    assert [delayed.get_result(), waiting.get_result()] == ["done", "done"]


def test_a_cancelled_workflow_gives_up_its_slot_though_its_step_goes_on(launch: Launch, gated: Gated) -> None:
    gate, work = gated
    queue = Queue("q", concurrency=1, polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def quick() -> str:
        return "done"

    launch()
    with gate:
        stuck = queue.enqueue(work, 1)
        eventually(lambda: gate.passes == 1)
        behind = queue.enqueue(quick)
        assert behind.get_status().status == "ENQUEUED"
        DBOS.cancel_workflow(stuck.get_workflow_id())
        assert behind.get_result() == "done"
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        stuck.get_result()


def test_a_rate_limit_lets_them_begin_as_soon_as_it_may(launch: Launch, database_url: str) -> None:
    queue = Queue("q", limiter={"limit": 2, "period": 0.3}, polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def work() -> None:
        pass

    launch()
    for handle in [queue.enqueue(work) for _ in range(7)]:
        handle.get_result()
    starts = sorted(
        row[0]
        for row in run_sql(database_url, "select started_at_epoch_ms from workflow_status where queue_name = 'q'")
    )
    assert all(later - earlier >= 300 for earlier, later in zip(starts, starts[2:], strict=False)), starts


def test_a_delay_ends_by_itself(launch: Launch) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def work() -> str:
        return "done"

    launch()
    with SetEnqueueOptions(delay_seconds=0.3):
        handle = queue.enqueue(work)
    assert handle.get_result() == "done"
    status = handle.get_status()
    assert status.dequeued_at is not None
    assert status.delay_until_epoch_ms is not None
    assert 0 <= status.dequeued_at - status.delay_until_epoch_ms < 5_000


def test_the_time_of_a_workflow_begins_with_its_claim(launch: Launch, gated: Gated) -> None:
    gate, work = gated
    queue = Queue("q", concurrency=1)
    launch()
    with gate:
        queue.enqueue(work, 1)
        eventually(lambda: gate.passes == 1)
        with SetWorkflowTimeout(600):
            behind = queue.enqueue(work, 2)
        assert behind.get_status().workflow_deadline_epoch_ms is None
    assert behind.get_result() == 2
    status = behind.get_status()
    assert status.workflow_deadline_epoch_ms == (status.dequeued_at or 0) + 600_000


def test_a_workflow_that_cannot_be_run_stops_no_other(launch: Launch, database_url: str) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def work() -> str:
        return "done"

    with serving_nothing(launch):
        with SetWorkflowID("broken"):
            queue.enqueue(work)
        behind = queue.enqueue(work)
        run_sql(database_url, "update workflow_status set inputs = 'no json' where workflow_uuid = 'broken'")
    launch(application_version="1")
    assert behind.get_result() == "done"
    eventually(lambda: DBOS.retrieve_workflow("broken").get_status().status == "ENQUEUED")


def test_a_workflow_that_cannot_be_read_holds_no_slot(
    launch: Launch, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for whoever can read it, and is told of once; a resume tries again here."""
    queue = Queue("q", concurrency=1, polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def work(text: str) -> str:
        return text

    with serving_nothing(launch):
        with SetWorkflowID("broken"):
            queue.enqueue(work, "mended")
        behind = [queue.enqueue(work, f"done {n}") for n in range(3)]
        ((inputs,),) = run_sql(database_url, "select inputs from workflow_status where workflow_uuid = 'broken'")
        run_sql(database_url, "update workflow_status set inputs = 'no json' where workflow_uuid = 'broken'")
    launch(application_version="1")
    assert [handle.get_result() for handle in behind] == ["done 0", "done 1", "done 2"]
    status = DBOS.retrieve_workflow("broken").get_status()
    assert (status.status, status.queue_name, status.recovery_attempts) == ("ENQUEUED", "q", 0)
    assert caplog.text.count("Workflow broken") == 1
    run_sql(database_url, "update workflow_status set inputs = ? where workflow_uuid = 'broken'", inputs)
    DBOS.resume_workflow("broken", queue_name="q")
    assert DBOS.retrieve_workflow("broken").get_result() == "mended"


IMPOSSIBLE = [
    "concurrency = 0",
    "worker_concurrency = -1",
    "concurrency = 1, worker_concurrency = 2",
    "rate_limit_max = 1, rate_limit_period_sec = 0",
    "polling_interval_sec = -5",
    "partition_queue = true, partition_concurrency = 1",
]


def test_definitions_that_cannot_be_are_told_of_once_and_stop_no_other_queue(
    launch: Launch, database_url: str, caplog: pytest.LogCaptureFixture, further_looks: Callable[[], None]
) -> None:
    """Somebody wrote them by hand. Setting them right serves them again."""

    @DBOS.workflow()
    def work() -> str:
        return "done"

    launch()
    names = [f"rotten-{number}" for number in range(len(IMPOSSIBLE))]
    for name, change in zip(names, IMPOSSIBLE, strict=True):
        DBOS.register_queue(name)
        run_sql(database_url, f"update queues set {change} where name = ?", name)
    DBOS.register_queue("sound")
    waiting = [DBOS.enqueue_workflow(name, work) for name in names]
    for _ in range(2):
        assert DBOS.enqueue_workflow("sound", work).get_result() == "done"
    eventually(lambda: all(f"Queue {name!r} is not served" in caplog.text for name in names))
    further_looks()
    assert statuses(waiting) == ["ENQUEUED"] * len(names)
    assert [queue.name for queue in DBOS.list_queues()] == ["sound"]
    with pytest.raises(error.DBOSException, match="'rotten-0' is defined in the database as no queue can be"):
        DBOS.retrieve_queue("rotten-0")
    for name in names:
        DBOS.register_queue(name, on_conflict="always_update")
    assert [handle.get_result() for handle in waiting] == ["done"] * len(names)
    assert all(caplog.text.count(f"Queue {name!r} is not served") == 1 for name in names)


def test_a_parent_that_waits_for_children_on_its_own_queue(launch: Launch) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def child(number: int) -> int:
        return number

    @DBOS.workflow()
    def parent() -> int:
        return sum(handle.get_result() for handle in [queue.enqueue(child, n) for n in range(10)])

    launch(max_executor_threads=2)
    assert [handle.get_result() for handle in [queue.enqueue(parent) for _ in range(4)]] == [45] * 4


# ------------------------------------------------------------ several executors


def test_what_waits_without_a_version_runs_on_the_latest(
    launch: Launch, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def work() -> str | None:
        return DBOS.workflow_id

    launch(application_version="old")
    launch(application_version="new")
    launch(application_version="old")
    assert "version old of the application, but the latest is new" in caplog.text
    record = start_record("any", status="ENQUEUED", queue_name="q", name=work.__qualname__, application_name="test-app")
    executor().store.journal.write([record])
    queue.enqueue(work).get_result()  # served, and passed by
    assert DBOS.retrieve_workflow("any").get_status().status == "ENQUEUED"
    launch(application_version="new")
    assert DBOS.retrieve_workflow("any").get_result() == "any"
    assert DBOS.retrieve_workflow("any").get_status().app_version == "new"


@pytest.mark.own_session("there nobody is heard")
def test_another_process_wakes_the_dispatcher(launch: Launch, database_url: str) -> None:
    """By a notification, or because it committed; all but the last lap of this test would take minutes otherwise."""
    queue = Queue("q", concurrency=1, polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def work() -> str:
        return "done"

    launch(application_version="1")
    with Store.open(StoreSettings(url=database_url)) as other:
        running = start_record(
            "theirs", queue_name="q", application_version="1", application_name="test-app", executor_instance="other"
        )
        other.journal.write([running])  # holds the only slot
        behind = queue.enqueue(work)
        eventually(lambda: waits_on("q"))
        time.sleep(0.3)  # long enough to be found full; not finding it so would only make the test easier
        other.workflows.cancel(["theirs"])
        other.hints.publish("enqueued", ["q"])
        assert behind.get_result() == "done"


@pytest.mark.own_session("there nobody is heard")
@pytest.mark.parametrize("verb", ["cancel_workflow", "delete_workflow", "resume_workflow"])
def test_a_slot_that_a_client_frees_is_taken_at_once(
    launch: Launch, database_url: str, gated: Gated, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    gate, work = gated
    queue = Queue("q", concurrency=1, polling_interval_sec=NEVER_POLLED)

    @DBOS.workflow()
    def quick() -> str:
        return "done"

    launch(notification_listener_polling_interval_sec=NEVER_POLLED)
    found_full = threading.Event()
    claim = executor().store.claims.claim

    def watched(spec: QueueSpec, *arguments: Any, **options: Any) -> Claim:
        answer = claim(spec, *arguments, **options)
        if answer.full and spec.name == "q":
            found_full.set()
        return answer

    monkeypatch.setattr(executor().store.claims, "claim", watched)
    with gate, DBOSClient(system_database_url=database_url) as client:
        stuck = queue.enqueue(work, 1)
        eventually(lambda: gate.passes == 1)
        found_full.clear()
        behind = queue.enqueue(quick)
        assert found_full.wait(PATIENCE_SECONDS)
        getattr(client, verb)(stuck.get_workflow_id())
        eventually(lambda: behind.get_status().output == "done", PATIENCE_SECONDS / 2)  # the gate gives up later


@pytest.mark.parametrize(
    ("limits", "statement"),
    [({}, "rate_limited = "), ({"concurrency": 1}, "commit")],
    ids=["no limit", "one slot"],
)
def test_what_was_claimed_and_never_heard_of_runs_at_once(
    postgres_url: str, limits: dict[str, int], statement: str
) -> None:
    """The connection is cut when the claim is committed, and nobody has told what was claimed. The lease is long."""
    runs: list[int] = []
    DBOS.destroy(destroy_registry=True)
    Queue("q", polling_interval_sec=0.05, **limits)  # type: ignore[arg-type]

    @DBOS.workflow(name="work")
    def work(number: int) -> int:
        runs.append(number)
        return number

    with PostgresProxy(postgres_url) as proxy:
        DBOS(
            config={
                "name": "test-app",
                "system_database_url": proxy.url,
                "executor_lease_sec": 3600,
                "use_listen_notify": False,
            }
        )
        DBOS.launch()
        try:
            eventually(lambda: executor().serves_queues)
            with DBOSClient(system_database_url=postgres_url) as client:
                at_commit = statement == "commit"
                cut = proxy.cut_at_commit(1, "after") if at_commit else proxy.cut_at(1, "after", containing=statement)
                options = [EnqueueOptions(workflow_name="work", queue_name="q", workflow_id=f"w{n}") for n in range(3)]
                handles = client.enqueue_bulk([(each, (n,)) for n, each in enumerate(options)])
                assert cut.done.wait(PATIENCE_SECONDS)
                eventually(lambda: sorted(runs) == [0, 1, 2])
                assert [handle.get_result() for handle in handles] == [0, 1, 2]
        finally:
            DBOS.destroy(destroy_registry=True)


# ------------------------------------------------------------ what waits in vain


def test_a_queue_that_nobody_serves_is_reported_once(
    launch: Launch, caplog: pytest.LogCaptureFixture, further_looks: Callable[[], None]
) -> None:
    @DBOS.workflow()
    def work() -> None:
        pass

    launch()
    handle = DBOS.enqueue_workflow("nowhere", work)
    DBOS.enqueue_workflow("nowhere", work)
    with caplog.at_level(logging.WARNING, logger="dbos"):
        eventually(lambda: "queue 'nowhere', which no running process serves" in caplog.text)
        further_looks()
        assert caplog.text.count("nowhere") == 1
    assert (handle.get_status().status, handle.get_status().queue_name) == ("ENQUEUED", "nowhere")


def test_what_only_another_version_can_run_is_reported(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def work() -> None:
        pass

    launch(executor_lease_sec=1, application_version="new")
    with SetEnqueueOptions(app_version="old"):
        queue.enqueue(work)
    with caplog.at_level(logging.WARNING, logger="dbos"):
        eventually(lambda: "on queue 'q' need version old" in caplog.text)


def test_an_unknown_function_is_reported_and_left_to_others(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    Queue("q")
    launch(executor_lease_sec=1, application_version="1")
    record = start_record(
        "w", status="ENQUEUED", queue_name="q", name="unknown", application_name="test-app", application_version="1"
    )
    executor().store.journal.write([record])
    with caplog.at_level(logging.WARNING, logger="dbos"):
        eventually(lambda: "their function 'unknown' is not registered" in caplog.text)
    assert executor().store.workflows.standing("w") == ("ENQUEUED", 0)


def test_everybody_tells_which_queues_he_serves(launch: Launch, database_url: str) -> None:
    Queue("b")
    Queue("a")
    launch()

    def told() -> list[str]:
        ((queues,),) = run_sql(database_url, "select queues from executors order by started_at_ms desc limit 1")
        return json.loads(queues) if queues else []

    eventually(lambda: told() == ["_dbos_internal_queue", "a", "b"])


# ------------------------------------------------------------ what it costs


def test_idle_queues_cost_next_to_nothing(launch: Launch) -> None:
    """Fifty of them, and everything else that an idle process does: under five statements a second."""
    for number in range(50):
        Queue(f"q{number}", concurrency=1)
    launch()
    eventually(lambda: executor().serves_queues)
    counters = executor().store.journal.counters

    def queries_a_second() -> float:
        before, began = counters.queries, time.monotonic()
        time.sleep(3)  # what is measured is what happens in it, not how long it takes
        return (counters.queries - before) / (time.monotonic() - began)

    assert at_best(queries_a_second, bound=5) < 5  # in the first seconds, what the launch has begun may still go on


def test_draining_takes_few_statements(launch: Launch) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def work() -> None:
        pass

    with serving_nothing(launch):
        handles = [queue.enqueue(work) for _ in range(300)]
    launch(application_version="1")
    counters = executor().store.journal.counters
    eventually(lambda: counters.records == 300)  # outcomes
    assert counters.commits < 100
    assert counters.queries < 100
    for handle in handles:
        handle.get_result()


def test_every_queue_has_its_turn_where_there_is_room_for_one_at_a_time(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"q{number}" for number in range(20)}

    @DBOS.workflow()
    def work() -> None:
        pass

    with serving_nothing(launch):
        handles = [queue.enqueue(work) for queue in map(Queue, names) for _ in range(3)]
    room, served = [0], list[str]()
    claim, poll = Claims.claim, Dispatcher.poll

    def poll_with_room_for_one(self: Dispatcher) -> float:
        room[0] = 1
        return poll(self)

    def noted_claim(self: Claims, spec: QueueSpec, *arguments: Any, **options: Any) -> Claim:
        room[0] = 0
        served.append(spec.name)
        return claim(self, spec, *arguments, **options)

    monkeypatch.setattr(Dispatcher, "poll", poll_with_room_for_one)
    monkeypatch.setattr(Dispatcher, "_room", lambda _: room[0])
    monkeypatch.setattr(Claims, "claim", noted_claim)
    launch(application_version="1")
    for handle in handles:
        handle.get_result()
    assert set(served[:20]) == set(served[20:40]) == names


def test_what_has_no_thread_yet_leaves_no_room_however_long_ago_it_was_claimed(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def work() -> None:
        pass

    launch()
    threads, room, turned_away = executor().threads, Dispatcher._room, Counter[str]()

    def noted_room(self: Dispatcher) -> int:
        found = room(self)
        turned_away["here"] += found == 0
        return found

    monkeypatch.setattr(dispatcher, "ROOM", 150)
    monkeypatch.setattr(dispatcher, "MOMENT_SECONDS", 0.0)  # all was claimed long ago
    with monkeypatch.context() as patch:
        patch.setattr(threads, "_wants_thread", lambda: False)
        handles = [queue.enqueue(work) for _ in range(300)]
        patch.setattr(Dispatcher, "_room", noted_room)
        eventually(lambda: turned_away["here"] > 10 or not waits_on("q"))
        assert waits_on("q")
        assert threads.backlog <= 150
    threads.submit(lambda: None)
    for handle in handles:
        handle.get_result()


def test_nobody_looks_whether_more_waits_who_has_just_seen_it(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def work() -> None:
        pass

    with serving_nothing(launch):
        handles = [queue.enqueue(work) for _ in range(1_000)]
    monkeypatch.setattr(dispatcher, "MOMENT_SECONDS", NEVER_POLLED)  # what was seen is not old yet
    done: list[str] = []
    claim, look = Claims.claim, dispatcher.look_at_queues

    def noted_claim(self: Claims, spec: QueueSpec, owner: Any, runnable: Any, limit: int, **options: Any) -> Claim:
        claimed = claim(self, spec, owner, runnable, limit, **options)
        done.append("claimed all" if len(claimed.rows) == limit else "claimed the rest")
        return claimed

    def noted_look(engine: Executor) -> Look:
        done.append("looked")
        return look(engine)

    monkeypatch.setattr(Claims, "claim", noted_claim)
    monkeypatch.setattr(dispatcher, "look_at_queues", noted_look)
    launch(application_version="1")
    for handle in handles:
        handle.get_result()
    drain = done[done.index("claimed all") : done.index("claimed the rest")]
    assert drain.count("claimed all") >= 4
    assert drain.count("looked") <= 2, "but for the news that a launch may bring"
