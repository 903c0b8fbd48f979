"""Enqueueing and sending out of SQL."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a workflow that SQL enqueues wakes nobody",
        "store/migrations/postgres/0012_deleted_workflows.sql",
        "'sql', 'enqueued', json_build_array(queue_name)",
        "'sql', 'message', json_build_array(queue_name)",
        "tests/acceptance/test_sql_functions.py::test_the_commit_tells_the_listeners",
    ),
    Mutant(
        "a workflow that SQL enqueues is open to the attempts of a deleted one",
        "store/migrations/postgres/0012_deleted_workflows.sql",
        "d.workflow_uuid = id), 0)",
        "d.workflow_uuid = id and false), 0)",
        "tests/acceptance/test_sql_functions.py::test_the_id_of_a_deleted_workflow_goes_on_with_its_epochs",
    ),
    Mutant(
        "SQL sends a message to nobody",
        "store/migrations/postgres/0009_sql_functions.sql",
        "    if not found then",
        "    if false then",
        "tests/acceptance/test_sql_functions.py::test_psql_sends_what_a_workflow_receives",
    ),
)
