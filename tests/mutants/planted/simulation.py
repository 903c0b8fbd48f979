"""Protocol and limits, as the simulation finds them broken: each of its oracles is red once."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SEEDS = "tests/simulation/test_simulation.py::test_whatever_goes_wrong_the_promises_hold_and_everything_ends[{}]"
REST = "tests/simulation/test_rest.py::test_what_waits_for_a_slot_costs_nothing[{}]"

MUTANTS = (
    Mutant(
        "simulation: steps are recorded by whoever ran them last",
        "store/sql/journal.sql",
        "where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null\n    {lock}\n)\n\n"
        "-- fragment: attempt_goes_on",
        "where w.workflow_uuid = i.workflow_id and w.completed_at is null\n    {lock}\n)\n\n"
        "-- fragment: attempt_goes_on",
        SEEDS.format(4),
    ),
    Mutant(
        "simulation: claims do not count what runs",
        "model/queue.py",
        "self.concurrency - usage.running)",
        "self.concurrency)",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: rates do not count what was started",
        "model/queue.py",
        "self.rate.limit - usage.starts)",
        "self.rate.limit)",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: what has ended keeps its deduplication id",
        "store/sql/journal.sql",
        "updated_at = {now_ms}, deduplication_id = null\nfrom {input} as i\nwhere\n    workflow_status.workflow_uuid",
        "updated_at = {now_ms}\nfrom {input} as i\nwhere\n    workflow_status.workflow_uuid",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: a message is received again and again",
        "store/sqlite/sql/messages.sql",
        "update notifications set consumed = 1, consumed_by",
        "update notifications set consumed = 0, consumed_by",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: every process runs a tick",
        "services/scheduler.py",
        "workflow_id = run_id(row.schedule_name, tick)",
        "workflow_id = engine.new_id()",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: a success is resumed",
        "store/sql/workflows.sql",
        "where workflow_uuid in ({each:ids}) and status <> 'SUCCESS'\nreturning workflow_uuid;",
        "where workflow_uuid in ({each:ids})\nreturning workflow_uuid;",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: leases protect nobody",
        "store/sql/workflows.sql",
        "w.status = 'PENDING' and e.lease_expires_at_ms < {lease_now_ms} and w.executor_instance <> :instance",
        "w.status = 'PENDING' and w.executor_instance <> :instance",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: a living neighbour is declared dead",
        "services/recovery.py",
        "process_start(pid) not in (started, UNKNOWN_START)",
        "process_start(pid) in (started, UNKNOWN_START)",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: the last to arrive is the first to be claimed",
        "store/sql/claims.sql",
        "    order by w.priority, w.sequence\n    limit :limit\n    {lock_free_rows}\n)\nupdate",
        "    order by w.sequence desc\n    limit :limit\n    {lock_free_rows}\n)\nupdate",
        SEEDS.format(0),
    ),
    Mutant(
        "simulation: a queue behind a full partition is asked for without pause",
        "services/dispatcher.py",
        "min(SPACING * took_seconds * 2**queue.fruitless, interval)",
        "SPACING * took_seconds",
        REST.format("parts"),
    ),
    Mutant(
        "simulation: a wait counts from the earliest that the clock can show",
        "runtime/clock.py",
        "self.latest_ms() + seconds * 1000 if",
        "self.now_ms() + seconds * 1000 if",
        "tests/runtime/test_clock.py::test_a_wait_counts_from_the_latest_that_it_may_be",
    ),
)
