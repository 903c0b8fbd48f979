"""The state machine of a queue: random sequences of real store verbs beside a model that says what may be claimed.

The model is small and written from the promises, not from the SQL. It says of every claim exactly how many workflows it
must bring, and which; so that a limit that lets too many pass is found, and one that lets too few pass as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from dbos.model.queue import Limits, QueueSpec, RateLimit
from dbos.store.claims import Turn
from dbos.store.database import StoreSettings
from dbos.store.executors import Owner
from dbos.store.store import Store
from tests.store.records import RUNNABLE, finish, start
from tests.support.postgres import past_entrance
from tests.support.raw_sql import run_sql

PERIOD_SECONDS = 1000  # far longer than a test takes: time passes only by `wait`
NAPS_MS = st.sampled_from([300_000, 600_000])  # sums never come near a multiple of the period
KEYS = st.sampled_from(["a", "b", "c"])
OWNERS = st.sampled_from(["one", "two"])
COUNTS = st.none() | st.integers(1, 3)
RATES = st.none() | st.builds(RateLimit, st.integers(1, 4), st.just(PERIOD_SECONDS))


@st.composite
def limits(draw: st.DrawFn) -> QueueSpec:
    """A queue with limits of every kind, often several."""
    concurrency, worker, rate = draw(COUNTS), draw(COUNTS), draw(RATES)
    if concurrency is not None and worker is not None:
        worker = min(worker, concurrency)
    of_queue = QueueSpec("q", concurrency=concurrency, worker_concurrency=worker, limiter=rate)
    match draw(st.sampled_from(["whole", "per partition", "both"])):
        case "whole":
            return of_queue
        case "per partition":
            return replace(of_queue, partition_queue=True)
        case _:
            return replace(of_queue, partition_concurrency=draw(st.integers(1, 2)), partition_limiter=draw(RATES))


@dataclass(slots=True)
class Model:
    """What a workflow must look like."""

    sequence: int
    priority: int
    key: str
    status: str
    owner: str | None = None
    epoch: int = 0


@dataclass(slots=True)
class Start:
    """One that a rate limit counts."""

    key: str
    age_ms: int = 0


class QueueMachine(RuleBasedStateMachine):
    """Two executors serve a queue whose limits change."""

    open_store: Callable[[], Store]
    url: str
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).open_store()
        self.numbers = itertools.count(1)
        self.lives = itertools.count(1)
        self.models: dict[str, Model] = {}
        self.starts: list[Start] = []
        self.turns = {"one": Turn(), "two": Turn()}
        self.owners = {name: self.register(name) for name in ("one", "two")}
        self.queue = QueueSpec("q")

    def register(self, name: str) -> Owner:
        owner = Owner(f"{name}-{next(self.lives)}", name, "app", "v1")
        self.store.executors.register(owner, "host", 1, "then", 1000.0)
        return owner

    def teardown(self) -> None:
        self.store.close()

    # ------------------------------------------------------------ the queue

    @initialize(queue=limits())
    def define(self, queue: QueueSpec) -> None:
        self.queue = queue

    @rule(queue=limits())
    def redefine(self, queue: QueueSpec) -> None:
        """Keeps being partitioned or not, as users do."""
        if queue.partitioned == self.queue.partitioned:
            self.queue = queue

    @rule(milliseconds=NAPS_MS)
    def wait(self, milliseconds: int) -> None:
        run_sql(self.url, f"update queue_starts set started_at_ms = started_at_ms - {milliseconds}")
        for each in self.starts:
            each.age_ms += milliseconds

    # ------------------------------------------------------------ workflows

    @rule(target=ids, wanted=st.lists(st.tuples(KEYS, st.integers(0, 2)), min_size=1, max_size=5))
    def enqueue(self, wanted: list[tuple[str, int]]) -> Any:
        return multiple(*[self.add(key, priority, "ENQUEUED") for key, priority in wanted])

    @rule(target=ids, key=KEYS)
    def delay(self, key: str) -> str:
        return self.add(key, 1, "DELAYED")

    def add(self, key: str, priority: int, status: str) -> str:
        number = next(self.numbers)
        workflow_id = f"w{number}"
        record = start(
            workflow_id,
            status=status,
            queue_name="q",
            priority=priority,
            queue_partition_key=key,
            delay_ms=0 if status == "DELAYED" else None,
        )
        assert self.store.journal.write([record])[0] is not None
        self.models[workflow_id] = Model(number, priority, key, status)
        return workflow_id

    @rule()
    def promote(self) -> None:
        self.store.claims.promote_delayed()
        for model in self.models.values():
            if model.status == "DELAYED":
                model.status = "ENQUEUED"
                model.epoch += 1

    @rule(owner=OWNERS)
    def claim_all(self, owner: str) -> None:
        self.claim(owner, 100)

    @rule(owner=OWNERS, limit=st.integers(1, 5))
    def claim_some(self, owner: str, limit: int) -> None:
        self.claim(owner, limit)

    def claim(self, owner: str, limit: int) -> None:
        who = self.owners[owner]
        eligible = self.eligible(who.instance, limit)
        claim = self.store.claims.claim(self.queue, who, RUNNABLE, limit, turn=self.turns[owner])
        assert not claim.contended
        claimed = [row.workflow_uuid for row in claim.rows]
        if self.queue.partitioned:
            for key, ids in eligible.items():
                mine = [each for each in claimed if self.models[each].key == key]
                assert mine == ids[: len(mine)], "not the first of the partition"
            room = min(limit, self.free_as_a_whole(who.instance))
            assert len(claimed) == min(room, sum(map(len, eligible.values()))), "too few, or too many"
        else:
            assert claimed == eligible[""]
        for row in claim.rows:
            model = self.models[row.workflow_uuid]
            model.status, model.owner = "PENDING", who.instance
            model.epoch += 1
            assert row.epoch == model.epoch
            if self.queue.limiter or self.queue.partition_limiter:
                self.starts.append(Start(model.key))

    @rule(workflow_id=ids, status=st.sampled_from(["SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]))
    def finish(self, workflow_id: str, status: str) -> None:
        model = self.models[workflow_id]
        if model.status == "PENDING":
            assert self.store.journal.write([finish(workflow_id, model.epoch, status)])[0] is not None
            model.status = status

    @rule(workflow_id=ids)
    def cancel(self, workflow_id: str) -> None:
        model = self.models[workflow_id]
        self.store.workflows.cancel([workflow_id])
        if model.status not in ("SUCCESS", "ERROR", "CANCELLED"):
            model.status, model.owner = "CANCELLED", None
            model.epoch += 1

    @rule(workflow_id=ids)
    def resume(self, workflow_id: str) -> None:
        """On its queue: it keeps its place and its partition."""
        model = self.models[workflow_id]
        if self.store.workflows.resume([workflow_id], "q"):
            assert model.status != "SUCCESS"
            model.status, model.owner = "ENQUEUED", None
            model.epoch += 1

    @rule(owner=OWNERS)
    def die(self, owner: str) -> None:
        """The other one finds it dead; what it ran goes back to the queue."""
        gone = self.owners[owner].instance
        self.store.executors.declare_dead([gone])
        other = self.owners["two" if owner == "one" else "one"]
        assert self.store.workflows.adopt(other, RUNNABLE, 100) == []
        for model in self.models.values():
            if model.status == "PENDING" and model.owner == gone:
                model.status, model.owner = "ENQUEUED", None
                model.epoch += 1
        self.owners[owner] = self.register(owner)

    # ------------------------------------------------------------ what the promises say

    def eligible(self, instance: str, limit: int) -> dict[str, list[str]]:
        """What a claim may bring, in order; by partition if there are any."""
        waiting: dict[str, list[str]] = {}
        for workflow_id, model in self.models.items():
            if model.status == "ENQUEUED":
                waiting.setdefault(model.key if self.queue.partitioned else "", []).append(workflow_id)
        found = {"": list[str]()}
        for key, ids in waiting.items():
            ids.sort(key=lambda each: (self.models[each].priority, self.models[each].sequence))
            room = self.free_in(key, instance) if self.queue.partitioned else self.free_as_a_whole(instance)
            found[key] = ids[: max(0, min(room, limit))]
        return found

    def free_as_a_whole(self, instance: str) -> int:
        return self.free(self.queue.as_a_whole, None, instance)

    def free_in(self, key: str, instance: str) -> int:
        return self.free(self.queue.per_partition, key, instance)

    def free(self, spec: Limits, key: str | None, instance: str) -> int:
        running = [m for m in self.models.values() if m.status == "PENDING" and key in (None, m.key)]
        starts = [s for s in self.starts if key in (None, s.key) and s.age_ms < PERIOD_SECONDS * 1000]
        room = 1000
        if spec.concurrency is not None:
            room = min(room, spec.concurrency - len(running))
        if spec.worker_concurrency is not None:
            room = min(room, spec.worker_concurrency - sum(m.owner == instance for m in running))
        if spec.rate is not None:
            room = min(room, spec.rate.limit - len(starts))
        return max(0, room)

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        rows = run_sql(self.url, "select workflow_uuid, status, epoch, executor_instance from workflow_status")
        expected = {
            (each, model.status, model.epoch, model.owner if model.status == "PENDING" else None)
            for each, model in self.models.items()
        }
        assert {(*row[:3], row[3] if row[1] == "PENDING" else None) for row in rows} == expected


@pytest.fixture
def machine(database_url: str) -> type[QueueMachine]:
    """The machine, on an empty database each time it is made."""
    store_settings = StoreSettings(database_url)
    Store.open(store_settings).close()

    class OnThisDatabase(QueueMachine):
        url = database_url

        @staticmethod
        def open_store() -> Store:
            Store.truncate(StoreSettings(past_entrance(database_url)))
            return Store.open(store_settings)

    return OnThisDatabase


@pytest.mark.timeout(120)
def test_every_claim_brings_what_the_limits_allow(machine: type[QueueMachine], database_url: str) -> None:
    examples = 40 if database_url.startswith("sqlite") else 4
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None
        ),
    )
