"""Limits of queues, and the order in which they are claimed."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

QUEUE_MACHINE = "tests/crash/test_queue_machine.py::test_every_claim_brings_what_the_limits_allow[sqlite]"
CLAIMS = "tests/store/test_claims.py::{}[sqlite]"

MUTANTS = (
    Mutant(
        "a limit is off by one",
        "model/queue.py",
        "            room.append(self.concurrency - usage.running)\n",
        "            room.append(self.concurrency - usage.running + 1)\n",
        QUEUE_MACHINE,
    ),
    Mutant(
        "the limit of a worker is off by one",
        "model/queue.py",
        "            room.append(self.worker_concurrency - usage.running_here)\n",
        "            room.append(self.worker_concurrency - usage.running_here + 1)\n",
        CLAIMS.format("test_worker_concurrency_counts_this_executor_alone"),
    ),
    Mutant(
        "a cancelled workflow keeps its slot",
        "store/sql/claims.sql",
        "        select count(*) from {schema}.workflow_status as w "
        "where w.status = 'PENDING' and w.queue_name = :queue_name\n",
        "        select count(*) from {schema}.workflow_status as w where w.epoch > 0 and w.status <> 'SUCCESS'\n",
        CLAIMS.format("test_a_slot_is_free_as_soon_as_its_workflow_leaves"),
    ),
    Mutant(
        "the order is that of timestamps",
        "store/sql/claims.sql",
        "{still_unshared}\n    order by w.priority, w.sequence\n    limit :limit\n",
        "{still_unshared}\n    order by w.priority, w.updated_at, w.sequence desc\n    limit :limit\n",
        CLAIMS.format("test_global_concurrency"),
    ),
    Mutant(
        "a priority is ignored",
        "store/sql/claims.sql",
        "{still_unshared}\n    order by w.priority, w.sequence\n    limit :limit\n",
        "{still_unshared}\n    order by w.sequence\n    limit :limit\n",
        CLAIMS.format("test_claiming_in_order_of_priority_and_arrival"),
    ),
    Mutant(
        "a claim walks through all partitions",
        "store/sql/claims.sql",
        "found as materialized (",
        "found as (",
        "tests/store/test_claims.py::test_a_claim_looks_at_no_more_partitions_than_it_needs",
    ),
    Mutant(
        "the limit of a partition is ignored",
        "store/sql/claims.sql",
        "    case when :concurrency < 2147483647 then :concurrency - (\n",
        "    case when :concurrency < 0 then :concurrency - (\n",
        CLAIMS.format("test_many_partitions_none_of_which_starves"),
    ),
    Mutant(
        "a rate counts half a period",
        "store/sql/claims.sql",
        "s.started_at_ms > {now_ms} - cast(:period_ms as bigint) and",
        "s.started_at_ms > {now_ms} - cast(:period_ms as bigint) / 2 and",
        CLAIMS.format("test_a_rate_limit"),
    ),
    Mutant(
        "a rate forgets starts between two deals of one claim",
        "store/claims.py",
        "            _record_starts(run, queue, rates, served.elements())\n",
        "",
        CLAIMS.format("test_rates_of_partitions"),
    ),
    Mutant(
        "claims go by the isolation that the engine happens to have",
        "store/postgres/database.py",
        "            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED\n",
        "",
        "tests/store/test_claims.py::test_claims_see_what_is_committed_whatever_the_level_of_the_engine",
    ),
    Mutant(
        "the lock of a queue is nobody's",
        "store/postgres/sql/claims.sql",
        "select 1 where pg_try_advisory_xact_lock(hashtextextended({schema_text} || '/' || :queue_name, 0));\n",
        "select 1 where :queue_name is not null;\n",
        "tests/store/test_claims.py::test_a_queue_that_somebody_claims_from_is_left_alone",
    ),
    Mutant(
        "what is full is never told of a free slot",
        "runtime/executor.py",
        "            self.openings.ended(*attempt.slot)\n",
        "",
        "tests/acceptance/test_queue_dispatch.py::test_a_slot_that_frees_here_is_taken_at_once[sqlite-limits0]",
    ),
    Mutant(
        "a claim keeps the epoch",
        "store/sql/claims.sql",
        "{taken}, started_at_epoch_ms = {now_ms}, rate_limited = :rate_limited,\n",
        "status = 'PENDING', executor_instance = :instance, executor_id = :executor_id, "
        "started_at_epoch_ms = {now_ms}, rate_limited = :rate_limited,\n",
        CLAIMS.format("test_claiming_in_order_of_priority_and_arrival"),
    ),
    Mutant(
        "a workflow without a version runs on any",
        "store/sql/claims.sql",
        "coalesce({latest_version}, :application_version))\n)",
        "coalesce(null, :application_version))\n)",
        CLAIMS.format("test_what_has_no_version_runs_on_the_latest"),
    ),
    Mutant(
        "partitions begin anew with every claim",
        "store/claims.py",
        "            turn.after = max(served)\n",
        '            turn.after = max(served) if len(rows) + len(dealt) < limit else ""\n',
        CLAIMS.format("test_partitions_have_their_turns"),
    ),
)
