"""What enqueueing costs, counted and not timed: commits, reads, and rounds of the dispatcher."""

import asyncio
from collections.abc import Callable

import pytest

from dbos import DBOS, Queue, SetEnqueueOptions, SetWorkflowID, error
from dbos.api.launched import current_registry
from dbos.services.dispatcher import Dispatcher
from dbos.store.postgres.hints import PostgresHints
from tests.acceptance.test_costs import cost_of, counters
from tests.support.fixture_types import Launch

MANY = 1_000


@pytest.fixture
def queue(launch: Launch) -> Queue:
    return Queue("q")


@pytest.fixture
def task(queue: Queue) -> Callable[[], None]:
    @DBOS.workflow(name="task")
    def task() -> None: ...

    return task


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody dispatches and nobody is told: what is counted is enqueueing alone."""
    monkeypatch.setattr(Dispatcher, "poll", lambda self: 60.0)
    monkeypatch.setattr("dbos.runtime.context.FRESH_SECONDS", 60.0)  # a slow machine asks whether it owns its workflow
    monkeypatch.setattr(PostgresHints, "publish", lambda self, kind, ids: None)


@pytest.mark.usefixtures("undisturbed")
def test_an_enqueue_costs_one_commit_and_no_read(launch: Launch, queue: Queue, task: Callable[[], None]) -> None:
    numbers = iter(range(10_000))

    def with_everything() -> None:
        number = next(numbers)
        with SetWorkflowID(f"w{number}"), SetEnqueueOptions(deduplication_id=f"d{number}", priority=1):
            queue.enqueue(task)

    launch()
    for enqueue in (lambda: queue.enqueue(task), with_everything):
        cost = cost_of(enqueue)
        assert (cost.commits, cost.records, cost.queries) == (1, 1, 0)


@pytest.mark.usefixtures("undisturbed")
def test_an_enqueued_child_costs_one_commit(launch: Launch, queue: Queue, task: Callable[[], None]) -> None:
    """Its row together with the step that records it; one commit more where the step must wait for the row."""
    numbers = iter(range(10_000))

    @DBOS.workflow()
    def parent(children: int, deduplicated: bool) -> None:
        for _ in range(children):
            number = next(numbers)
            with SetEnqueueOptions(deduplication_id=f"d{number}" if deduplicated else None):
                queue.enqueue(task)

    launch()
    for deduplicated in (False, True):
        few = cost_of(lambda deduplicated=deduplicated: parent(1, deduplicated))
        many = cost_of(lambda deduplicated=deduplicated: parent(11, deduplicated))
        assert many.commits - few.commits == (20 if deduplicated else 10)
        assert many.records - few.records == 20
        assert many.queries == few.queries == 0


@pytest.mark.usefixtures("undisturbed")
def test_a_refusal_costs_two_reads(launch: Launch, queue: Queue, task: Callable[[], None]) -> None:
    def refused() -> None:
        with SetEnqueueOptions(deduplication_id="d"), pytest.raises(error.DBOSQueueDeduplicatedError):
            queue.enqueue(task)

    launch()
    with SetEnqueueOptions(deduplication_id="d"):
        queue.enqueue(task)
    cost = cost_of(refused)
    assert (cost.commits, cost.queries) == (1, 2)


def test_a_thousand_children_take_a_handful_of_commits(
    launch: Launch, queue: Queue, task: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    current_registry().listened_queues = ()  # nobody claims them, but whoever dispatches is woken by each
    rounds: list[None] = []
    poll = Dispatcher.poll

    def counted(self: Dispatcher) -> float:
        rounds.append(None)
        return poll(self)

    monkeypatch.setattr(Dispatcher, "poll", counted)

    @DBOS.workflow()
    async def parent() -> int:
        handles = await asyncio.gather(*(queue.enqueue_async(task) for _ in range(MANY)))
        return len({handle.workflow_id for handle in handles})

    launch()
    before = counters()
    rounds.clear()
    assert asyncio.run(parent()) == MANY  # type: ignore[arg-type]
    after = counters()
    assert after.records - before.records == 2 * MANY + 2
    assert after.commits - before.commits <= 30
    assert len(rounds) <= MANY / 10
