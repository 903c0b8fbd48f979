"""Enqueueing, deduplication and debouncing."""

from __future__ import annotations

from tests.mutants.killers import POINTS
from tests.mutants.mutant import Mutant

QUEUES = "tests/acceptance/test_queues.py::{}[sqlite]"
ENQUEUEING = "tests/acceptance/test_enqueueing.py::{}[sqlite]"
DEBOUNCE = "tests/store/test_debouncing.py::{}"

MUTANTS = (
    Mutant(
        "a deduplication id is never free again",
        "store/sql/journal.sql",
        "    completed_at = {now_ms}, updated_at = {now_ms}, deduplication_id = null\n",
        "    completed_at = {now_ms}, updated_at = {now_ms}\n",
        QUEUES.format("test_a_deduplication_id_is_free_again_at_the_end"),
    ),
    Mutant(
        "a child that was enqueued is enqueued again",
        "runtime/admission.py",
        "workflow_id or child_id(parent.workflow_id, step_id), ",
        "workflow_id or engine.new_id(), ",
        POINTS.format("queues-deduplicated_children"),
    ),
    Mutant(
        "a refusal is not recorded",
        "runtime/admission.py",
        "        yield from record(parent, encode(parent, step_id, name, Outcome(error=refusal), now_ms))\n",
        "",
        ENQUEUEING.format("test_a_recorded_refusal_is_raised_again"),
    ),
    Mutant(
        "the time of a workflow runs while it waits",
        "store/sql/journal.sql",
        "    case when i.deadline_ms is null and i.status = 'PENDING' then",
        "    case when i.deadline_ms is null then",
        QUEUES.format("test_the_time_of_an_enqueued_workflow_runs_from_its_start"),
    ),
    Mutant(
        "what is given back to its queue waits for the next poll",
        "store/workflows.py",
        "            self.on_requeued()\n",
        "            pass\n",
        "tests/store/test_workflows.py::test_what_goes_back_to_its_queue_is_told[sqlite]",
    ),
    Mutant(
        "the key of a debounced workflow is not free when it starts",
        "store/sql/claims.sql",
        "    deduplication_id = case when not is_debounced then deduplication_id end\n",
        "    deduplication_id = deduplication_id\n",
        "tests/acceptance/test_debouncing.py::test_the_next_call_after_the_start_begins_anew[sqlite]",
    ),
    Mutant(
        "a debounced workflow is put off beyond its deadline",
        "store/sql/journal.sql",
        "        when workflow_status.debounce_deadline_epoch_ms < excluded.delay_until_epoch_ms\n",
        "        when false\n",
        DEBOUNCE.format("test_the_deadline_of_the_first_call_bounds_the_delay[sqlite]"),
    ),
    Mutant(
        "a further call does not replace the inputs",
        "store/sql/journal.sql",
        "    inputs = excluded.inputs, serialization = excluded.serialization,",
        "   ",
        DEBOUNCE.format("test_the_first_call_makes_a_row_and_later_ones_replace_its_inputs[sqlite]"),
    ),
    Mutant(
        "a workflow that lost its row debounces",
        "store/sql/journal.sql",
        "    {attempt_goes_on}\n    and not exists (select 1 from",
        "    true\n    and not exists (select 1 from",
        DEBOUNCE.format("test_a_workflow_debounces_only_while_it_owns_its_row[sqlite]"),
    ),
    Mutant(
        "a call of a debouncer that was accepted before begins another cycle",
        "store/sql/journal.sql",
        "    and not exists (select 1 from {schema}.workflow_status as w where w.debounce_token = i.token)\n",
        "",
        DEBOUNCE.format("test_a_repeated_write_counts_once[sqlite-True]"),
    ),
    Mutant(
        "a debouncer takes over what was enqueued under its key",
        "store/sql/journal.sql",
        "workflow_status.status = 'DELAYED' and workflow_status.is_debounced and",
        "workflow_status.status = 'DELAYED' and",
        DEBOUNCE.format("test_a_slot_that_something_else_holds_is_refused[sqlite]"),
    ),
    Mutant(
        "a call under the id of the row that waits is refused, and looks again when that has begun",
        "store/sql/journal.sql",
        "                w.owner_xid = i.token\n                or coalesce(w.queue_name, '') <> i.queue_name\n",
        "                true or coalesce(w.queue_name, '') <> i.queue_name\n",
        DEBOUNCE.format("test_a_call_under_the_id_of_the_waiting_row_replaces_its_inputs[sqlite]"),
    ),
    Mutant(
        "a call of a debouncer that was superseded since it was accepted puts its inputs back",
        "store/sql/journal.sql",
        "                w.owner_xid = i.token\n                or coalesce",
        "                coalesce",
        DEBOUNCE.format("test_a_repeated_write_counts_once[sqlite-False]"),
    ),
)
