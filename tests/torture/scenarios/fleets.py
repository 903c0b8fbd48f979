"""Many executors on one database that are killed, put to sleep, doubled, and driven by workflows that kill them."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from dbos import DBOSClient, EnqueueOptions
from tests.processes import limits
from tests.processes.freezing import freeze
from tests.processes.test_kill_at_commit import EXPECTED
from tests.support.waiting import eventually
from tests.support.worker_workflows import POISON_ATTEMPTS
from tests.support.workers import Worker, WorkerGone
from tests.torture.scenario import Run, scenario
from tests.torture.world import QUIET_SECONDS, World

CORE = "I1 I3 I4 I5 I6 I7 I9 I10 I11"

QUEUES: dict[str, dict[str, Any]] = {
    "open": {},
    "concurrency": {"concurrency": 5},
    "worker": {"worker_concurrency": 2},
    "partitions": {"partition_queue": True, "concurrency": 1},
    "rate": {"limiter": {"limit": 50, "period": 0.5}},
}
OPEN_OF_TEN = 6  # of ten workflows so many go through the queue without limits
PARTITIONS = "abcdefgh"
BACKLOG = 1_500  # workflows that wait at most, so that enqueueing and running go on side by side
BATCH = 100
KILL_SECONDS = 0.1, 0.5
WORKFLOWS = 100_000
LEAST_KILLS = 3


@scenario(faults="F13", invariants=f"{CORE} I19 I20 I21 I22 I25 I27", share=4, goals={"workflows": WORKFLOWS})
def fleet(run: Run) -> None:
    """Executors are killed and replaced, with pauses of 100 to 500 ms, while workflows pass through limited queues."""
    world = run.world().prepare()
    client = world.client()
    for name, options in QUEUES.items():
        client.register_queue(name, **options)
    total = run.size(60, WORKFLOWS)
    fleet = [world.start() for _ in range(run.size(4, 20))]
    dice = random.Random(run.dice.random())
    kills = 0
    with ThreadPoolExecutor(1) as pool:
        enqueueing = pool.submit(_enqueue_all, run, dice, world, client, total)
        while kills < LEAST_KILLS or not enqueueing.done():
            run.pause(*KILL_SECONDS)
            victim = run.dice.randrange(len(fleet))
            fleet[victim].kill()
            fleet[victim].wait()
            fleet[victim] = world.begin()
            kills += 1
        enqueued = enqueueing.result()
    run.counts.update(workflows=enqueued, kills=kills)
    world.settle()
    world.verify()
    for name, options in QUEUES.items():
        assert limits.violations(world.url, name, options) == []
    assert world.statuses("task-______") == {"SUCCESS": enqueued}, "I19"


def _enqueue_all(run: Run, dice: random.Random, world: World, client: DBOSClient, total: int) -> int:
    """Enqueue so many workflows, or as many as there is time for, never too many at once; how many they were."""
    for first in range(0, total, BATCH):
        if first > 0 and not run.goes_on():
            return first
        while world.unfinished() >= BACKLOG and run.goes_on():
            time.sleep(0.05)
        calls = [_call(dice, number) for number in range(first, min(first + BATCH, total))]
        world.promise(handle.workflow_id for handle in client.enqueue_bulk(calls))
    return total


def _call(dice: random.Random, number: int) -> tuple[EnqueueOptions, tuple[Any, ...]]:
    """A workflow for one of the queues; some have children."""
    limited = dice.choice([name for name in QUEUES if name != "open"])
    options: EnqueueOptions = {
        "workflow_name": "walk",
        "queue_name": "open" if dice.randrange(10) < OPEN_OF_TEN else limited,
        "workflow_id": f"task-{number:06}",
    }
    if options["queue_name"] == "partitions":
        options["queue_partition_key"] = dice.choice(PARTITIONS)
    if dice.randrange(50) > 0:
        return options, (2,)
    options["workflow_name"] = dice.choice(["order", "order_async"])
    return options, ("Ada",)


LEASE_SECONDS = 1.0
SLEEPERS = ("walk", "walk_async", "order", "order_async")
LATE_STEPS = {"walk": 1, "walk_async": 1, "order": 1, "order_async": 3}  # it has three side by side


@scenario(faults="F14", invariants=f"{CORE} I16", share=2, goals={"zombies": 400})
def zombies(run: Run) -> None:
    """An executor is stopped at any operation until its lease is over and all it had is adopted; then it wakes."""
    world = run.world().prepare()
    stale = world.start(executor_lease_sec=LEASE_SECONDS, host="ship")
    winner = world.start(executor_lease_sec=LEASE_SECONDS, host="shore")
    for number in run.rounds():
        ids = {f"{name}-{number}-{copy}": name for name in SLEEPERS for copy in range(run.size(3, 6))}
        for workflow_id, name in ids.items():
            stale.call("start", name, workflow_id, *([20, 10] if name.startswith("walk") else ["Ada"]))
        world.promise(ids)
        told = {workflow_id: stale.begin("result", workflow_id) for workflow_id in ids}
        run.pause(0, 0.15)
        freeze(stale, world.url)
        before = _owned(world)
        eventually(lambda: not set(_owned(world)) & set(before), QUIET_SECONDS)  # noqa: B023 (asked at once)
        begun = _steps_of_first_epoch(world, stale)
        stale.kill(signal.SIGCONT)
        for workflow_id, name in ids.items():
            outcome = winner.call("result", workflow_id, timeout_seconds=QUIET_SECONDS)
            assert told[workflow_id].result(QUIET_SECONDS) == outcome, f"I4: {workflow_id}"
            assert name.startswith("walk") or outcome == EXPECTED[name]
        late = _steps_of_first_epoch(world, stale)
        for workflow_id in before & ids.keys():
            assert late[workflow_id] - begun[workflow_id] <= LATE_STEPS[ids[workflow_id]], f"I16: {workflow_id}"
        run.counts.update(naps=1, zombies=len(before))
    world.settle()
    world.verify()


def _steps_of_first_epoch(world: World, worker: Worker) -> Counter[str]:
    """How many steps of each workflow it has begun. (Of a later epoch it may be the owner again, in its turn.)"""
    entries = world.ledger.begun()
    return Counter(entry.workflow_id for entry in entries if entry.pid == worker.pid and entry.epoch == 1)


def _owned(world: World) -> set[str]:
    """The workflows at their first epoch that have not ended: nobody has adopted them."""
    with world.sql() as sql:
        rows = sql("select workflow_uuid from workflow_status where completed_at is null and epoch = 1")
    return {workflow_id for (workflow_id,) in rows}


@scenario(faults="F15", invariants=CORE, goals={"takeovers": 2_000})
def twins(run: Run) -> None:
    """Two live executors have one id; one is replaced, and recovery of both is asked for many times at once."""
    world = run.world().prepare()
    pair = [world.start(executor_id="twin") for _ in range(2)]
    other = world.start(executor_id="other")
    for number in run.rounds():
        ids = [f"walk-{number}-{name}-{copy}" for name in "ab" for copy in range(run.size(5, 20))]
        half = len(ids) // 2
        pair[0].call("start_many", "walk", ids[:half], 8, 5)
        pair[1].call("start_many", "walk_async", ids[half:], 8, 5)
        world.promise(ids)
        run.pause(0, 0.05)
        asked = [
            worker.begin("take_over", ["twin"]) for worker in (*pair, other) for _ in range(run.dice.randint(1, 3))
        ]
        run.pause(0, 0.05)
        leaves = run.dice.randrange(2)
        successor = world.start(executor_id="twin")
        farewell = run.dice.choice(["destroy", "kill"])
        for answer in asked:
            answer.result(QUIET_SECONDS)
        if farewell == "destroy":
            pair[leaves].call("destroy", timeout_seconds=QUIET_SECONDS)
        pair[leaves].kill()
        pair[leaves].wait()
        pair[leaves] = successor
        world.settle()
        results = [[worker.call("results", ids, timeout_seconds=QUIET_SECONDS)] for worker in (*pair, other)]
        assert results[0] == results[1] == results[2], "I4"
        run.counts.update(takeovers=len(asked), workflows=len(ids), replaced=1)
    world.verify()


WAYS_TO_DIE = ("exit", "SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM")


@scenario(faults="F21", invariants=f"{CORE} I8")
def poison(run: Run) -> None:
    """Workflows that end their process every time are put aside after so many attempts; others get through."""
    world = run.world().prepare()
    executors = [world.start() for _ in range(2)]
    for number in run.rounds():
        how = run.dice.choice(WAYS_TO_DIE)
        poisoned = f"poison-{number}"
        healthy = [f"walk-{number}-{copy}" for copy in range(run.size(4, 20))]
        executors[0].call("start_many", "walk", healthy, 10, 10)
        executors[0].begin("start", "poison", poisoned, how)
        world.promise(healthy)
        deaths = 0
        while deaths <= POISON_ATTEMPTS:
            index = eventually(lambda: _dead(executors), QUIET_SECONDS) - 1
            executors[index].wait()
            deaths += 1
            with suppress(WorkerGone):  # dead before it says that it has launched; its place is found empty again
                executors[index] = world.start()
        world.settle()
        with world.sql() as sql:
            rows = sql("select status, recovery_attempts from workflow_status where workflow_uuid = ?", poisoned)
        assert rows == [("MAX_RECOVERY_ATTEMPTS_EXCEEDED", POISON_ATTEMPTS + 2)], f"I7: {how}: {rows}"
        ran = [entry for entry in world.ledger.begun(poisoned) if entry.label == "swallowed"]
        assert len(ran) == POISON_ATTEMPTS + 1, f"I7: {how}: it ran {len(ran)} times"
        assert executors[0].call("results", healthy) != []
        run.counts.update(poison=1, deaths=deaths, healthy=len(healthy))
    world.verify()


def _dead(executors: list[Worker]) -> int:
    """Which one is dead, from 1; 0 for none."""
    return next((number for number, each in enumerate(executors, 1) if each.hung_up), 0)
