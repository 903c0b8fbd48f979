"""Forking, rewinding and deleting workflows."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FORKING = "tests/store/test_forking.py::{}[sqlite]"
REWINDING = "tests/store/test_rewinding.py::{}[sqlite]"

MUTANTS = (
    Mutant(
        "forks forget in which order attempts recorded what they copy",
        "store/sql/forking.sql",
        "    o.epoch - (select w.epoch from {schema}.workflow_status as w where w.workflow_uuid = :origin)\n",
        "    0\n",
        "tests/store/test_forking.py::test_what_is_copied_tells_in_which_order_attempts_recorded_it[sqlite]",
    ),
    Mutant(
        "a fork copies one step too many",
        "store/sql/forking.sql",
        "o.function_id < :start_step",
        "o.function_id <= :start_step",
        FORKING.format("test_a_fork_has_exactly_what_was_recorded_before_its_first_step"),
    ),
    Mutant(
        "deleting leaves messages behind",
        "store/sql/deleting.sql",
        "delete from {schema}.notifications where destination_uuid in ({each:ids})",
        "delete from {schema}.notifications where destination_uuid in ({each:ids}) and false",
        FORKING.format("test_deleting_leaves_nothing_in_any_table"),
    ),
    Mutant(
        "rewinding keeps what the forgotten steps published",
        "store/sql/rewinding.sql",
        "v.workflow_uuid = :workflow_id and {no_recorded_step};\n\n-- name: forget_events",
        "v.workflow_uuid = :workflow_id and false;\n\n-- name: forget_events",
        REWINDING.format("test_what_was_recorded_from_the_step_on_is_forgotten"),
    ),
    Mutant(
        "a rewind whose reply was lost rewinds again",
        "store/rewinding.py",
        "if life == token:",
        "if life == wanted:",
        REWINDING.format("test_a_call_counts_once_and_only_for_what_is_finished"),
    ),
    Mutant(
        "the witnesses of a life before stop a rewound transaction",
        "store/sql/rewinding.sql",
        "delete from {schema}.transaction_outputs where workflow_uuid = :workflow_id and function_id >= :start_step",
        "delete from {schema}.transaction_outputs where workflow_uuid = :workflow_id and function_id < 0",
        "tests/acceptance/test_rewinding.py::test_a_transaction_happens_again[sqlite]",
    ),
)
