"""Very many of something at once: partitions, sleepers, steps of one workflow."""

from __future__ import annotations

from collections.abc import Sequence

from dbos import EnqueueOptions
from tests.processes import limits
from tests.torture.scenario import Run, scenario
from tests.torture.scenarios.fleets import CORE
from tests.torture.world import QUIET_SECONDS

BATCH = 500
LONG_SECONDS = 40 * QUIET_SECONDS
PARTITIONS = 10_000
STEPS = 10_000
SLEEPERS = 100_000


def batches(ids: list[str]) -> Sequence[list[str]]:
    """A few hundred at a time."""
    return [ids[first : first + BATCH] for first in range(0, len(ids), BATCH)]


def _in_its_own_partition(workflow_id: str) -> EnqueueOptions:
    return {
        "workflow_name": "parcel",
        "queue_name": "parts",
        "workflow_id": workflow_id,
        "queue_partition_key": workflow_id,
    }


@scenario(faults="F24", invariants=f"{CORE} I22", goals={"partitions": PARTITIONS})
def partitions(run: Run) -> None:
    """Each workflow waits in a partition of its own, of which there are very many: none of them is left behind."""
    world = run.world().prepare()
    client = world.client()
    queue = {"partition_queue": True, "concurrency": 1}
    client.register_queue("parts", **queue)  # type: ignore[arg-type]
    ids = [f"parcel-{number}" for number in range(run.size(200, PARTITIONS))]
    for batch in batches(ids):
        client.enqueue_bulk([(_in_its_own_partition(each), ("Ada",)) for each in batch])
        world.promise(batch)
    for _ in range(2):
        world.start()
    world.settle(LONG_SECONDS)
    world.verify()
    assert limits.violations(world.url, "parts", queue) == []
    assert world.statuses("parcel-%") == {"SUCCESS": len(ids)}, "I19"
    run.counts["partitions"] += len(ids)


@scenario(faults="F24", invariants=CORE, goals={"steps": STEPS})
def long_workflow(run: Run) -> None:
    """One workflow has very many steps; its process is killed in the midst of them, and another one goes on there."""
    world = run.world().prepare()
    steps = run.size(300, STEPS)
    first = world.start()
    first.call("start", "walk_async", "long", steps)
    world.promise(["long"])
    world.wait_for_steps(steps // 2)
    first.kill()
    first.wait()
    second = world.start()
    assert second.call("result", "long", timeout_seconds=LONG_SECONDS) == second.pid
    world.settle()
    world.verify()
    assert world.steps_begun() <= steps + 1, "I10: it did not go on where it was"
    run.counts["steps"] += steps


@scenario(faults="F24", invariants=CORE, goals={"sleepers": SLEEPERS})
def sleepers(run: Run) -> None:
    """Very many workflows sleep at once, and one process dies of two: all of them wake up."""
    world = run.world().prepare()
    pair = [world.start() for _ in range(2)]
    ids = [f"doze-{number}" for number in range(run.size(300, SLEEPERS))]
    seconds = run.size(1, 120)
    for place, batch in enumerate(batches(ids)):
        pair[place % 2].call("start_many", "doze_async", batch, seconds, timeout_seconds=QUIET_SECONDS)
        world.promise(batch)
    pair[0].kill()
    pair[0].wait()
    world.settle(LONG_SECONDS)
    world.verify()
    assert world.statuses("doze-%") == {"SUCCESS": len(ids)}, "I5"
    run.counts["sleepers"] += len(ids)
